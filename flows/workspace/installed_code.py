"""A project without code of its own runs the installed package: `code/` says which bytes that is.

A file for each room that a stage of dvc.yaml may name, in the form of sha256sum: a line a file, its digest and its path
in the installation. Nights write it before their stages, so that DVC, a night's identity, its commit and its provenance
see another release as they see another commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pipeline
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_file, write_text

CODE = Path("code")
_ENDING = ".sha256"
_PACKAGES = ("flows", "switchtender")
_MADE = ("__pycache__",)
_DEPENDENCY = re.compile(r"\bpipeline/(stages/)?(\w+)(?:\.py)?")


def is_installed(root: Path) -> bool:
    """Whether a project has no code of its own, but a record of what is installed."""
    return (root / CODE).is_dir() and not (root / "pipeline").is_dir()


def installation() -> Path:
    """The folder that the running packages lie in."""
    return Path(pipeline.__file__).resolve().parent.parent


def as_dependencies(dvc_yaml: str) -> str:
    """dvc.yaml with the record of each room in place of the room, for a project without code of its own."""
    return _DEPENDENCY.sub(lambda found: f"{CODE}/{found[0].removesuffix('.py')}{_ENDING}", dvc_yaml)


def records() -> dict[str, str]:
    """What each file of `code/` holds for the installed package, by path."""
    place = installation()
    return {f"{CODE}/{name}{_ENDING}": _listing(place, path) for name, path in sorted(_rooms(place))}


def _rooms(place: Path) -> Iterator[tuple[str, Path]]:
    """The rooms of the pipeline, its stages one by one, and the other packages whole; each with its name in `code/`."""
    for path in (place / "pipeline").iterdir():
        parts = path.iterdir() if path.name == "stages" else [path]
        for part in parts:
            if part.name not in _MADE:
                yield part.relative_to(place).with_suffix("").as_posix(), part
    yield from ((name, place / name) for name in _PACKAGES)


def _listing(place: Path, path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    kept = [one for one in files if one.is_file() and not any(part in _MADE for part in one.parts)]
    return "".join(f"{sha256_file(one)}  {one.relative_to(place).as_posix()}\n" for one in kept)


def record(root: Path) -> None:
    """Bring `code/` of a project without code of its own in line with the installed package.

    Raises:
        SwitchtenderError: a file cannot be written.
    """
    if not is_installed(root):
        return
    wanted = records()
    for path in (root / CODE).rglob(f"*{_ENDING}"):
        if path.relative_to(root).as_posix() not in wanted:
            path.unlink()
    for name, content in wanted.items():
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != content:
            write_text(content, root / name)


def recorded(root: Path) -> list[str]:
    """The files of `code/`, by path."""
    return sorted(path.relative_to(root).as_posix() for path in (root / CODE).rglob(f"*{_ENDING}"))


def require_recorded(root: Path) -> None:
    """Refuse to go on with other code than a clone's `code/` says; nothing to do where it has code of its own.

    Raises:
        InputError: names the first file that differs.
    """
    if not is_installed(root):
        return
    here, then = (_lines(contents) for contents in (records().values(), _contents(root)))
    differing = sorted(line.partition("  ")[2] for line in here ^ then)
    if differing:
        raise InputError(
            f"the installed package is not the one that {CODE}/ records: {differing[0]} differs; install that release "
            "again, or run 'switchtender nightly' for a version of this one"
        )


def _contents(root: Path) -> list[str]:
    return [(root / name).read_text(encoding="utf-8") for name in recorded(root)]


def _lines(contents: Iterable[str]) -> set[str]:
    return {line for content in contents for line in content.splitlines()}
