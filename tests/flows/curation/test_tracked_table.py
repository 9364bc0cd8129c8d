"""A table that DVC keeps and its pointer change together, wherever the change is cut short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.curation import tracked_table
from flows.curation.tracked_table import FILE, replace_table, settle
from flows.workspace.dvc_pointers import md5_of
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.runtime.errors import InputError

OLD, NEW = b"prompt_id,prompt\np1,one\n", b"prompt_id,prompt\np1,one\np2,two\n"
POINTER = Path("data/prompts.csv.dvc")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose table DVC keeps."""
    (tmp_path / "data").mkdir()
    (tmp_path / DATASET).write_bytes(OLD)
    (tmp_path / POINTER).write_text(
        f"outs:\n- md5: {md5_of(OLD)}\n  size: {len(OLD)}\n  hash: md5\n  path: prompts.csv\n"
    )
    return Project(tmp_path)


def state(project: Project) -> tuple[bool, bool, bool]:
    """Whether the table, the pointer and the cache have the new bytes."""
    held = project.dvc_cache / "files" / "md5" / md5_of(NEW)[:2] / md5_of(NEW)[2:]
    text = (project.root / POINTER).read_text()
    return (
        (project.root / DATASET).read_bytes() == NEW,
        md5_of(NEW) in text and f"size: {len(NEW)}" in text,
        held.is_file(),
    )


def test_the_pointer_is_as_dvc_writes_it(project: Project) -> None:
    assert replace_table(project, DATASET, NEW) == POINTER
    ours = (project.root / POINTER).read_bytes()
    assert state(project) == (True, True, True)
    for command in (["init", "--no-scm", "-q"], ["add", "-q", str(DATASET)]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=project.root, check=True)
    assert (project.root / POINTER).read_bytes() == ours
    assert not (project.var / FILE).exists()


def cut_short(project: Project, struck: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the table, in a process that is killed where it would call a function."""

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(tracked_table, struck, kill)
        with pytest.raises(Killed):
            replace_table(project, DATASET, NEW)


@pytest.mark.parametrize(
    ("struck", "left", "ended"),
    [
        ("cache_of", (False, False, False), None),
        ("write_json", (False, False, True), None),
        ("write_whole", (False, False, True), None),
        ("write_text", (True, False, True), DATASET),
    ],
)
def test_a_change_cut_short_is_ended_or_never_was(
    struck: str, left: tuple[bool, bool, bool], ended: Path | None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(project, struck, monkeypatch)
    assert state(project) == left
    assert settle(project) == ended
    assert state(project)[:2] == ((True, True) if ended else (False, False))
    assert settle(project) is None
    replace_table(project, DATASET, NEW)
    assert state(project) == (True, True, True)


def test_what_a_person_wrote_after_a_change_cut_short_stays(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(project, "write_text", monkeypatch)
    (project.root / DATASET).write_bytes(OLD)
    assert settle(project) is None
    assert state(project)[:2] == (False, False)


def test_a_table_that_git_keeps_has_no_pointer(project: Project) -> None:
    (project.root / POINTER).unlink()
    assert replace_table(project, DATASET, NEW) is None
    assert (project.root / DATASET).read_bytes() == NEW
    assert not project.dvc_cache.exists()


def test_a_pointer_of_another_table_is_refused(project: Project) -> None:
    (project.root / POINTER).write_text("outs:\n- md5: abc\n  path: other.csv\n")
    with pytest.raises(InputError, match=r"names no data/prompts\.csv; restore it"):
        replace_table(project, DATASET, NEW)
    assert (project.root / DATASET).read_bytes() == OLD
