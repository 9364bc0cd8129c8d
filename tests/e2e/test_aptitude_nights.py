"""A new language model by its aptitude test alone: the sheet of a version, a night without training, its lineage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sandbox import Sandbox, copy_project

from flows.registry.versions import Versions, opened
from flows.workspace.project import Project
from pipeline.routers.systems import open_router
from pipeline.runtime.tables import read_table, write_table
from pipeline.runtime.track import MODELS

KINDS = {"code": "Write a {} function that sorts a list of {}", "poem": "Compose a {} poem about the {} for a wedding"}
FIRST = ("python", "short", "seven", "gentle", "rust", "recursive", "old", "blue", "twelve", "quiet")
SECOND = ("names", "harbour", "euros", "orders", "lighthouse", "dollars", "ferries", "moon", "crowns", "dates")
KNOWN = {"code-model": 0.004, "poem-model": 0.002}


def table() -> pd.DataFrame:
    """Outcomes of two candidates: right for certain on the own kind, on every fourth prompt else."""
    return pd.DataFrame(
        {
            "prompt_id": f"{kind}-{i}{j}",
            "prompt": words.format(first, second),
            "candidate": name,
            "quality": float(name.startswith(kind) or (i + j) % 4 == 0),
            "cost": usd,
            "reference": "B",
        }
        for kind, words in KINDS.items()
        for i, first in enumerate(FIRST)
        for j, second in enumerate(SECOND)
        for name, usd in KNOWN.items()
    )


# Fast twins: test_model_nights (the same track, another router) and tests/switchtender/verbs/test_aptitude.py.
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prefect_address: str) -> Sandbox:
    """A project whose model router is `aptitude`, after its first night."""
    made = copy_project(tmp_path_factory.mktemp("aptitude") / "a project", prefect_address)
    table().to_csv(made.root / "data/outcomes.csv", index=False)
    ids = sorted(set(table()["prompt_id"]))[::4]
    (made.root / "data/model_holdout.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    made.set_params(
        run__threads=1, nightly__tracks=["models"], models__validate__table="data/outcomes.csv",
        models__train__max_tokens=32, models__evaluate__max_tokens=32,
        models__split__holdout="data/model_holdout.txt", models__split__holdout_overlap=1.0,
        models__train__encoder=str(tiny_encoder),
        models__train__router="aptitude", models__train__aptitude={"tasks": 4, "shots": 8},
        models__evaluate__encoder=str(tiny_encoder), models__gate__calibration_error=1.0,
        models__gate__resamples=100, models__gate__cost_rise=10.0, models__gate__margin=1.0,
        models__optimize__max_loss=1.0,
    )  # fmt: skip
    made.night()
    return made


def ask(project: Sandbox, *arguments: str) -> Any:
    done = project.run("aptitude", *arguments, "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def filled(project: Sandbox, place: Path) -> Path:
    """The champion's sheet, and the holdout's, with the answers of a candidate that is right on poems alone."""
    if not place.exists():
        said = ask(project, "export", "--holdout", "--out", str(place))
        assert said["holdout"] == 50
        frame = read_table(place).drop(columns="line")
        quality = [str(int(name.startswith("poem"))) for name in frame["prompt_id"]]
        write_table(frame.assign(quality=quality, cost="0.001"), place)
    return place


def test_a_version_is_exported_from_the_table_that_it_learnt_from(project: Sandbox, tmp_path: Path) -> None:
    whole = ask(project, "export", "--out", str(tmp_path / "sheet.jsonl"))
    assert whole["items"] == whole["of"] > 10
    sheet = read_table(tmp_path / "sheet.jsonl")
    assert set(sheet["reference"]) == {"B"}
    held_out = set((project.root / "data/model_holdout.txt").read_text(encoding="utf-8").split())
    assert not held_out & set(sheet["prompt_id"])
    place = project.root / "data/outcomes.csv"
    before = place.read_bytes()
    try:
        place.write_bytes(before.replace(b"Write a", b"Write me a"))
        ask(project, "export", "--version", "1", "--out", str(tmp_path / "again.jsonl"))
    finally:
        place.write_bytes(before)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "sheet.jsonl").read_bytes()


def test_without_the_runs_clone_the_table_comes_out_of_git(project: Sandbox, tmp_path: Path) -> None:
    place, run = project.root / "data/outcomes.csv", next(iter(project.root.glob("var/runs/models-*/clone")))
    before = place.read_bytes()
    run.rename(run.with_name("aside"))
    try:
        place.write_bytes(before + b"\n")
        assert (
            ask(project, "export", "--version", "1", "--out", str(tmp_path / "sheet.csv"), "--count", "5")["items"] == 5
        )
    finally:
        place.write_bytes(before)
        run.with_name("aside").rename(run)
    assert list((project.root / "var/scratch").iterdir()) == []


def test_a_faulty_file_is_refused_and_a_dry_run_writes_nothing(project: Sandbox, tmp_path: Path) -> None:
    results = filled(project, tmp_path / "results.csv")
    said = ask(project, "import", "newcomer", str(results), "--dry-run")
    assert (said["file"], said["answers"] + 50) == ("data/candidates/newcomer.csv", said["outcomes"])
    frame = read_table(results).drop(columns="line")
    frame.loc[4, "quality"] = ""
    write_table(frame, results)
    done = project.run("aptitude", "import", "newcomer", str(results))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "results.csv, line 6: quality is empty" in done.stderr
    assert not (project.root / "data/candidates/newcomer.csv").exists()


def test_a_candidate_joins_by_its_answers_and_the_lineage_names_them(project: Sandbox, tmp_path: Path) -> None:
    said = ask(project, "import", "newcomer", str(filled(project, tmp_path / "results.csv")))
    night = said["nights"][0]
    assert (night["verdict"], night["version"], said["answers"] + 50) == ("passed", "2", said["outcomes"])
    run = json.loads((project.root / "var/runs" / night["run_key"] / "run.json").read_text(encoding="utf-8"))
    how = {stage: word for stage, _, word in run["timings"]}
    assert (how["models_train"], how["models_join"]) == ("unchanged", "ran")
    with opened(Versions(Project(project.root).on(MODELS), "model-router").number("2")) as folder:
        assert any(m.name == "data/candidates/newcomer.csv" for m in folder.provenance().materials)
        assert open_router(folder.model).candidates == (*KNOWN, "newcomer")
    done = project.run("aptitude", "import", "newcomer", str(tmp_path / "results.csv"), "--version", "2")
    assert "the router knows 'newcomer' already" in done.stderr


def test_a_version_is_audited(project: Sandbox) -> None:
    done = project.run("audit", "1", "--track", "models", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "data/outcomes.csv" in done.stdout


# Fast twins: a router of tasks, joined by a candidate, is replayed in test_task_nights.py; two fits of this router are
# the same to the byte in tests/pipeline/routers/aptitude/test_router.py.
def test_a_version_replays_to_the_byte(project: Sandbox) -> None:
    done = project.run("replay", "1", "--track", "models", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["verdict"] == "identical"
