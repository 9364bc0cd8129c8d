"""DVC's pointers: the object that a pointer file names, and how one is written for other bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.workspace.dvc_objects import DIRECTORY, REMOTE
from pipeline.runtime.errors import InputError, one_line

ENDING = ".dvc"


@dataclass(frozen=True)
class Pointer:
    """One output of a pointer file; both paths are relative to the project. `remote` is where DVC is to keep it."""

    path: Path
    out: Path
    md5: str
    size: int
    remote: str

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(DIRECTORY)

    def covers(self, path: Path) -> bool:
        """Whether it keeps a file."""
        return path == self.out or self.out in path.parents

    def text_for(self, text: str, content: bytes) -> str:
        """The pointer file's text once the output has other bytes; every other character stays."""
        text = text.replace(self.md5, md5_of(content))
        return re.sub(rf"(\bsize: ){self.size}\b", rf"\g<1>{len(content)}", text)


def md5_of(content: bytes) -> str:
    """The name of an object."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read_pointers(root: Path, path: Path) -> Iterator[Pointer]:
    """The outputs of a pointer file in the project at `root`.

    Raises:
        InputError: it cannot be read.
    """
    name = path.relative_to(root)
    try:
        for out in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("outs", []):
            if "md5" in out:
                place = (path.parent / out["path"]).relative_to(root)
                yield Pointer(name, place, str(out["md5"]), int(out.get("size", 0)), str(out.get("remote", REMOTE)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(f"{name} cannot be read ({one_line(error)}); restore it with git") from error
