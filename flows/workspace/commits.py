"""Commits that are made beside the working copy: neither it nor the person's index takes part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from flows.workspace.git import git
from pipeline.runtime.errors import SwitchtenderError

_NO_FILE = "0" * 40


def tree_with(root: Path, paths: Iterable[str]) -> str:
    """The tree of HEAD with these paths as they are in the working copy; written through an index of its own.

    Raises:
        SwitchtenderError: git failed.
    """
    # Through the real index the commit would take along whatever the person has staged.
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", "HEAD", env=env)
        git(root, "add", "-A", "--", *paths, env=env)
        return git(root, "write-tree", env=env)


def commit_of(root: Path, contents: Mapping[str, bytes | None], message: str) -> str:
    """A commit onto HEAD in which these files have these bytes (None: they are gone); HEAD does not move.

    Returns:
        The commit, or nothing where the files are so in HEAD.

    Raises:
        SwitchtenderError: git failed, or there is no room.
    """
    head = git(root, "rev-parse", "HEAD")
    try:
        tree = _tree_of(root, contents)
    except OSError as error:
        raise SwitchtenderError(f"nothing was committed ({error.strerror}); make room, then run this again") from error
    if tree == git(root, "rev-parse", f"{head}^{{tree}}"):
        return ""
    return git(root, "commit-tree", tree, "-p", head, "-m", message)


def _tree_of(root: Path, contents: Mapping[str, bytes | None]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        env, copy = {"GIT_INDEX_FILE": str(Path(folder) / "index")}, Path(folder) / "file"
        git(root, "read-tree", "HEAD", env=env)
        lines = []
        for name, content in sorted(contents.items()):
            if content is None:
                lines.append(f"0 {_NO_FILE}\t{name}")
                continue
            copy.write_bytes(content)
            # With its path, so that filters (line ends, large files) do what they would do at a plain `git add`.
            lines.append(f"100644 {git(root, 'hash-object', '-w', f'--path={name}', '--', str(copy))}\t{name}")
        git(root, "update-index", "-z", "--index-info", env=env, stdin="".join(f"{line}\0" for line in lines))
        return git(root, "write-tree", env=env)


def move_head(root: Path, commit: str) -> None:
    """Let HEAD, detached or on a branch, name a commit that was made onto it.

    Raises:
        SwitchtenderError: HEAD is no longer that commit's parent; it stays.
    """
    subject = git(root, "show", "-s", "--format=%s", commit)
    # Compare-and-set: with the old value named, git refuses where HEAD has moved since it was read.
    git(root, "update-ref", "-m", f"commit: {subject}", "HEAD", commit, git(root, "rev-parse", f"{commit}^"))
