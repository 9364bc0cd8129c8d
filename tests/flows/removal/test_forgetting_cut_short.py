"""A forgetting that is killed at any step, or finds the disk full, either never was or is carried on."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flows.records.removal_log import FORGOTTEN, removals
from flows.removal import forget as verb
from flows.workspace import commits, dvc_objects, forgetting
from flows.workspace.forgetting import settle
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError

NEVER = -1
STEPS: tuple[tuple[Any, str], ...] = (
    (dvc_objects.ObjectStore, "add"), (forgetting, "commit_of"), (forgetting, "write_json"), (forgetting, "move_head"),
    (forgetting, "_write"), (forgetting, "_unstage"), (verb, "record_removal"),
    (forgetting, "end"),
)  # fmt: skip
WRITES: tuple[tuple[Any, str], ...] = ((Path, "write_bytes"), (Path, "write_text"))


def forget(project: Project) -> None:
    """Forget in a process of its own, which sets its environment for MLflow."""
    assert not killed(project, NEVER)


def git(project: Project, *arguments: str) -> str:
    return commits.git(project.root, *arguments)


def curated(project: Project) -> dict[str, bytes]:
    """The working copy, without what running makes."""
    files = (path for path in project.root.rglob("*") if path.is_file())
    named = {path.relative_to(project.root): path for path in files}
    return {str(name): path.read_bytes() for name, path in named.items() if name.parts[0] not in (".git", "var")}


def killed(project: Project, at: int, steps: tuple[tuple[Any, str], ...] = STEPS, *, is_full: bool = False) -> bool:
    """Forget in a process that is killed before the step of that number, or finds the disk full from there on.

    False where it comes to its end. What it may say of a full disk is one line of ours.
    """
    child = os.fork()
    if child == 0:
        number = count()

        def before(step: Callable[..., Any]) -> Callable[..., Any]:
            def seam(*args: Any, **kwargs: Any) -> Any:
                now = next(number)
                if now == at and not is_full:
                    os._exit(9)
                if now >= at and is_full:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return step(*args, **kwargs)

            return seam

        for place, name in steps:
            setattr(place, name, before(getattr(place, name)))
        try:
            verb.forget(project, ["p1"], "request 17")
        except SwitchtenderError as error:
            os._exit(9 if is_full and "No space left" in str(error) else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


def require_whole(project: Project, done: dict[str, bytes], head: str) -> None:
    """All that an uninterrupted forgetting leaves, once."""
    days = {"data/forgotten.csv"}
    assert {name: content for name, content in curated(project).items() if name not in days} == {
        name: content for name, content in done.items() if name not in days
    }
    assert git(project, "rev-parse", "HEAD^") == head
    assert git(project, "status", "--porcelain", "-uall") == ""
    assert (project.root / "data/forgotten.csv").read_text().count("\np1,") == 1
    assert not (project.var / "forgetting.json").exists()
    entries = [entry for entry in removals(project) if entry.kind == FORGOTTEN]
    assert [(entry.rows, entry.versions) for entry in entries] == [(("p1",), ())]


@pytest.fixture
def done(copies: Callable[[], Project]) -> dict[str, bytes]:
    project = copies()
    forget(project)
    found = curated(project)
    kept = [content for name, content in found.items() if not name.startswith(("data/remote", "data/forgotten"))]
    assert not any(mark in content for content in kept for mark in (b"planted", b"p1"))
    assert "data/candidates/new.csv" not in found
    return found


@pytest.mark.parametrize("is_full", [False, True], ids=["killed", "disk full"])
def test_cut_short_at_any_step_it_never_was_or_is_carried_on(
    copies: Callable[[], Project], done: dict[str, bytes], is_full: bool
) -> None:
    seen = []
    for at in count():
        project = copies()
        before, head = curated(project), git(project, "rev-parse", "HEAD")
        if not killed(project, at, WRITES if is_full else STEPS, is_full=is_full):
            break
        seen.append(git(project, "rev-parse", "HEAD") != head)
        if not seen[-1]:
            assert curated(project) == before
        elif forgetting.under_way(project):
            with pytest.raises(InputError, match="p1 was cut short"):
                forgetting.refuse_unfinished(project)
        settle(project)  # as a night does
        assert git(project, "status", "--porcelain", "-uall") == ""
        assert ("data/candidates/new.csv" in curated(project)) != seen[-1]
        if seen[-1] or not is_full:
            forget(project)
            require_whole(project, done, head)
    assert seen == sorted(seen)
    assert (seen.count(False), seen.count(True)) >= (3, 5)
