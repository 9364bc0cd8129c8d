"""Outcomes that a candidate brings: kept once, whoever asks again."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.workspace.candidates import add
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import MODELS

HEAD = "prompt_id,prompt,candidate,quality,cost\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    (root / "data").mkdir(parents=True)
    (root / "params.yaml").write_text("models: {validate: {table: data/outcomes.csv}}\n")
    rows = "".join(f"p{n},add {n} and {n},{name},1,0.1\n" for n in range(4) for name in ("small", "large"))
    (root / "data" / "outcomes.csv").write_text(HEAD + rows)
    return Project(root).on(MODELS)


def newcomer(folder: Path, quality: float) -> Path:
    rows = "".join(f"p{n},add {n} and {n},newcomer,{quality},0.2\n" for n in range(3))
    (folder / "new.csv").write_text(HEAD + rows)
    return folder / "new.csv"


def test_a_command_that_was_stopped_goes_on_and_other_outcomes_are_refused(project: Project, tmp_path: Path) -> None:
    place, count = add(project, "newcomer", newcomer(tmp_path, 0.5))
    written = place.read_bytes()
    assert (place.name, count) == ("newcomer.csv", 3)
    assert add(project, "newcomer", newcomer(tmp_path, 0.5)) == (place, count)
    with pytest.raises(InputError, match=r"'newcomer' is a candidate already, with other outcomes in newcomer\.csv"):
        add(project, "newcomer", newcomer(tmp_path, 0.7))
    assert place.read_bytes() == written
    with pytest.raises(InputError, match="'small' is a candidate already"):
        add(project, "small", project.root / "data" / "outcomes.csv")
