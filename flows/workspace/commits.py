"""A commit of some paths and nothing else: what a person staged or changed elsewhere stays as it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from flows.workspace.git import git


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


def commit_only(root: Path, paths: Iterable[str], message: str) -> str:
    """Commit paths as they are in the working copy (also their removal) onto HEAD, detached or not.

    Returns:
        The commit, or nothing where the paths are as in HEAD.

    Raises:
        SwitchtenderError: git failed, or HEAD moved meanwhile; nothing was committed.
    """
    named, head = sorted(paths), git(root, "rev-parse", "HEAD")
    tree = tree_with(root, named)
    if tree == git(root, "rev-parse", "HEAD^{tree}"):
        return ""
    commit = git(root, "commit-tree", tree, "-p", head, "-m", message)
    # Compare-and-set: with the old value named, git refuses where HEAD has moved since it was read.
    git(root, "update-ref", "-m", f"commit: {message.splitlines()[0]}", "HEAD", commit, head)
    # The person's index still has these paths as before, and would show them as staged to be changed back.
    git(root, "reset", "--quiet", "HEAD", "--", *named)
    return commit
