"""Models that a package carries in a form of its own, written once as a folder that transformers reads.

<folder of models>/<name>-<format>-<sha256 of the source>/
  made.json      the sha256 of each file beside it: what differs from it is made anew
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.tables import read_json, sha256_file, sha256_file_once, write_json

PLACE, ENCODERS = "SWITCHTENDER_ENCODERS", "encoders"
_OWN = Path("var")
_MARK = Path("params.yaml")
"""What a project's folder has; a folder `var` alone is any machine's, such as /var."""
_MADE = "made.json"
_KEY = 16


def encoders_folder() -> Path:
    """Where converted models are kept: a project's `var/encoders`, also for a night's clone, which is told by the
    environment variable SWITCHTENDER_ENCODERS; outside of a project the user's cache folder. Never the machine's
    temporary folder, where anybody may have put what lies there.
    """
    if named := os.environ.get(PLACE, "").strip():
        return Path(named)
    if _OWN.is_dir() and _MARK.is_file():
        return (_OWN / ENCODERS).resolve()
    from pipeline.encoders.vector_cache import cache_folder, users_folder

    return (cache_folder() or users_folder()) / ENCODERS


def converted(name: str, source: Path, form: int, convert: Callable[[Path, Path], None]) -> Path:
    """The folder that `convert(source, folder)` writes, which is made where it is not there or is damaged.

    `form` is raised whenever `convert` writes something else. Several processes may ask at once.

    Raises:
        InputError: the source is not what it should be, or there is no room for the result.
    """
    place = encoders_folder() / f"{name}-{form}-{sha256_file_once(source)[:_KEY]}"
    if _is_whole(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / f".{place.name}.lock"):
            if not _is_whole(place):
                _make(source, place, convert)
    except OSError as error:
        raise InputError(
            f"the model '{name}' cannot be written to {place.parent} ({error.strerror or error}); make room there, or "
            f"name another folder in {PLACE}"
        ) from error
    return place


def _make(source: Path, place: Path, convert: Callable[[Path, Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as scratch:
        made = Path(scratch) / "made"
        convert(source, made)
        write_json({path.name: sha256_file(path) for path in sorted(made.iterdir())}, made / _MADE)
        if place.exists():
            place.rename(Path(scratch) / "damaged")
        made.rename(place)


def _is_whole(place: Path) -> bool:
    try:
        made = read_json(place / _MADE)
        return bool(made) and all(sha256_file_once(place / name) == digest for name, digest in made.items())
    except (OSError, SwitchtenderError, AttributeError):
        return False
