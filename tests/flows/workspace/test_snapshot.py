"""DVC's commands, and what a killed night left in its clone."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.workspace import snapshot
from flows.workspace.processes import TIMED_OUT, Finished
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError

REFUSED = """Collecting
ERROR: failed to push data to the cloud - 12 files failed to upload

Having any troubles? Hit us up at https://dvc.org/support, we are always happy to help!
"""


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Finished(255, REFUSED, 1.0), "12 files failed to upload; mend that"),
        (Finished(255, "killed", 1.0), ": killed; mend that"),
        (Finished(TIMED_OUT, "", 9.0), "dvc push in .* took longer than 9 s"),
    ],
)
def test_a_command_of_dvcs_that_fails_says_why(
    done: Finished, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "run", lambda *_, **__: done)
    with pytest.raises(SwitchtenderError, match=said) as error:
        snapshot.dvc(Project(tmp_path), tmp_path, "push", timeout=9)
    assert "troubles" not in str(error.value)


def test_a_remote_that_never_answers_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "dvc.py").write_text("import time; time.sleep(60)")
    with pytest.raises(SwitchtenderError, match=r"dvc push in .* took longer than 1 s"):
        snapshot.dvc(Project(tmp_path), tmp_path, "push", timeout=1)


def test_what_a_killed_night_left_in_its_clone_is_cleared(tmp_path: Path) -> None:
    """DVC's lock names a process, whose number was given to another since."""
    lock, partial, kept = (
        tmp_path / name
        for name in (".dvc/tmp/rwlock", "var/stages/gate/.verdict.41.partial.json", "var/stages/gate/verdict.json")
    )
    for path in (lock, partial, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    snapshot.clear_leftovers(tmp_path)
    assert [path.exists() for path in (lock, partial, kept)] == [False, False, True]
