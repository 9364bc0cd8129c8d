"""Every file of a recorded commit, hashed anew: git hands out what lies under an object's name without looking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.workspace.git import git_objects
from pipeline.runtime.tables import sha256_text

_FOLDER, _SUBMODULE = "40000", "160000"


@dataclass(frozen=True)
class _Entry:
    mode: str
    path: str
    name: str


class CommitTree:
    """The files of one commit, as git's objects under it say; `missing` and `changed` name the objects that do not.

    A path of nothing is the commit itself.
    """

    def __init__(self, root: Path, commit: str) -> None:
        self.missing: list[str] = []
        self.changed: list[str] = []
        self.sha256: dict[str, str] = {}
        self._modes: dict[str, str] = {}
        self._root = root
        content = self._read("commit", [_Entry("", "", commit)])
        folders = [_Entry(_FOLDER, "", _tree_of(found)) for found in content.values()]
        while folders:
            folders = self._descend(folders)

    @cached_property
    def digest(self) -> str:
        """One sha256 for the whole: over each file's mode, path and sha256, in path order."""
        lines = (f"{self._modes[path]} {path}\0{digest}\n" for path, digest in sorted(self.sha256.items()))
        return sha256_text("".join(lines))

    def _descend(self, folders: list[_Entry]) -> list[_Entry]:
        """Take in the files of some folders; returns the folders in them."""
        within = self._read("tree", folders)
        entries = [entry for folder in folders if folder.path in within for entry in _entries(folder, within)]
        files = [entry for entry in entries if entry.mode not in (_FOLDER, _SUBMODULE)]
        for path, content in self._read("blob", files).items():
            self.sha256[path] = hashlib.sha256(content).hexdigest()
        self._modes |= {entry.path: entry.mode for entry in files}
        return [entry for entry in entries if entry.mode == _FOLDER]

    def _read(self, kind: str, asked: list[_Entry]) -> dict[str, bytes]:
        """The sound objects, by path; the others are noted."""
        contents = git_objects(self._root, [entry.name for entry in asked])
        sound: dict[str, bytes] = {}
        for entry in asked:
            content = contents[entry.name]
            if content is None:
                self.missing.append(entry.path)
            elif _name_of(kind, content, entry.name) != entry.name:
                self.changed.append(entry.path)
            else:
                sound[entry.path] = content
        return sound


def _name_of(kind: str, content: bytes, like: str) -> str:
    """What git calls an object; repositories name theirs by SHA-1, or by SHA-256 where the names are longer."""
    new = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
    new.update(f"{kind} {len(content)}\0".encode())
    new.update(content)
    return new.hexdigest()


def _tree_of(commit: bytes) -> str:
    return commit.split(b"\n", 1)[0].removeprefix(b"tree ").decode("ascii")


def _entries(folder: _Entry, within: dict[str, bytes]) -> Iterator[_Entry]:
    """What a tree object lists: `mode name`, a zero byte, and the raw name of the object."""
    content, size, at = within[folder.path], len(folder.name) // 2, 0
    while at < len(content):
        end = content.index(b"\0", at)
        mode, _, name = content[at:end].partition(b" ")
        raw = content[end + 1 : end + 1 + size]
        path = f"{folder.path}/" if folder.path else ""
        yield _Entry(mode.decode("ascii"), path + name.decode("utf-8", "surrogateescape"), raw.hex())
        at = end + 1 + size
