"""Signed heads that lie elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_versions import MadeProject

from flows.records.promotion_log import PROMOTED, Promotion, record_promotion
from flows.records.witness import WitnessedHead, WitnessParams, keep, read_witness, witness, witness_params
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError

NOWHERE = WitnessParams(to=[], timestamp_url="", timestamp_root="")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = MadeProject(tmp_path / "project").project
    with (found.root / "params.yaml").open("a") as file:
        file.write("witness: {to: [], timestamp_url: '', timestamp_root: ''}\n")
    return found


def promote(project: Project) -> None:
    record_promotion(project, Promotion("2026-01-01", "ana", PROMOTED, "", "1", "better", "d" * 64))


def test_each_head_is_one_more_line_of_a_file(project: Project, tmp_path: Path) -> None:
    place = str(tmp_path / "outside" / "heads.jsonl")
    for _ in range(2):
        promote(project)
        keep(project, witness(project, NOWHERE), place)
    entries = [json.loads(line)["entries"] for _, line in read_witness(project, place)]
    assert entries == [2, 4]


def test_a_file_named_in_params_lies_in_the_project_wherever_one_stands(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("{to: []", "{to: [heads.jsonl, 'git:origin', 's3://bucket']"))
    monkeypatch.chdir(tmp_path)
    assert witness_params(project).to == [str(project.root / "heads.jsonl"), "git:origin", "s3://bucket"]


def test_half_a_line_swallows_no_head(project: Project, tmp_path: Path) -> None:
    promote(project)
    (tmp_path / "heads").write_text('{"entries": 1, "he')
    keep(project, witness(project, NOWHERE), str(tmp_path / "heads"))
    assert json.loads((tmp_path / "heads").read_text().splitlines()[-1])["entries"] == 2


def test_what_keeps_no_head_is_no_witness(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was signed yet"):
        witness(project, NOWHERE)
    promote(project)
    kept = witness(project, NOWHERE)
    (tmp_path / "empty").write_text("\n")
    for place, error in ((str(tmp_path / "empty"), InputError), (str(tmp_path / "none"), InputError),
                         ("unknown://place", SwitchtenderError), (str(tmp_path), SwitchtenderError)):  # fmt: skip
        with pytest.raises(error, match="the witness"):
            list(read_witness(project, place))
    for place in ("unknown://place", str(tmp_path)):
        with pytest.raises(SwitchtenderError, match="cannot be written"):
            keep(project, kept, place)


def test_a_time_stamp_that_nothing_vouches_for_is_no_head(project: Project, tmp_path: Path) -> None:
    promote(project)
    kept = WitnessedHead(witness(project, NOWHERE).head, "bm90aGluZw==")
    (tmp_path / "heads").write_text(kept.to_line())
    ((_, line),) = read_witness(project, str(tmp_path / "heads"))
    assert line.startswith("no signed head with a valid time-stamp")
