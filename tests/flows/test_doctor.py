"""`doctor`: what is missing, with every check beside the others whatever one of them meets."""

from __future__ import annotations

import shutil
from pathlib import Path

from sandbox import ROOT

from flows.doctor import MISSING, checks
from flows.workspace.project import Project


def test_a_folder_without_git_is_told_every_check(tmp_path: Path) -> None:
    for name in ("params.yaml", "constraints.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    found = {check.check: check for check in checks(Project(tmp_path))}
    assert len(found) == 12
    assert (found["git"].state, found["git"].mend) == (MISSING, "commit the project once")
    assert found["place"].state == MISSING
    assert "git" in found["place"].found
    assert (found["dataset"].state, found["dataset"].mend) == (MISSING, "make setup")
