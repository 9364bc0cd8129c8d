"""Which objects of git hold given rows: in its history, in stashes, and those that no commit reaches any more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.removal.object_references import run_keys
from flows.workspace.git import git
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.errors import SwitchtenderError
from pipeline.versions.row_search import CannotUnpack, RowMatcher, is_searchable


@dataclass(frozen=True)
class GitCopies:
    """Git's objects that hold given rows, each with its path ("" where no ref reaches it), and the repositories that
    have one of them, as paths from the project. They stay: only a rewrite of the history takes them out.
    """

    objects: dict[str, str]
    repositories: tuple[str, ...]


def copies_in_git(project: Project, rows: RowMatcher) -> GitCopies:
    """The objects of the project's repository that hold a text or a graded outcome of the rows, and which of the runs'
    clones have them.

    Raises:
        SwitchtenderError: git failed.
    """
    found = {name for name, content in _blobs(project.root) if is_searchable(content) and _is_held(content, rows)}
    if not found:
        return GitCopies({}, ())
    listed = git(project.root, "rev-list", "--objects", "--all", "--reflog", "--indexed-objects").splitlines()
    paths = {name: path for name, _, path in (line.partition(" ") for line in listed)}
    clones = (clone_of(project, key) for key in sorted(run_keys(project)))
    also = [clone for clone in clones if (clone / ".git").is_dir() and _has_one(clone, found)]
    return GitCopies(
        {name: paths.get(name, "") for name in sorted(found)},
        tuple(project.name_of(place / ".git") for place in (project.root, *also)),
    )


def _is_held(content: bytes, rows: RowMatcher) -> bool:
    try:
        return rows.are_in(content)
    except CannotUnpack:
        return False


def _blobs(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every blob that the repository has, one after the other."""
    arguments = ["git", "cat-file", "--batch-all-objects", "--unordered", "--batch"]
    env = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    env["GIT_NO_REPLACE_OBJECTS"] = "1"
    with subprocess.Popen(arguments, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while header := process.stdout.readline():
            name, kind, size = header.decode().split()
            content = process.stdout.read(int(size))
            process.stdout.read(1)
            if kind == "blob":
                yield name, content
    if process.returncode:
        raise SwitchtenderError(f"git cat-file failed in {root}; try 'git fsck'")


def _has_one(repository: Path, objects: set[str]) -> bool:
    lines = git(repository, "cat-file", "--batch-check", stdin="".join(f"{name}\n" for name in objects)).splitlines()
    return any(not line.endswith("missing") for line in lines)
