"""The models' track as its users see it: a night, its proof, and a language model that joins without a refit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from planted_models import COST, FIRST, KINDS, SECOND, ask, chosen, night_with_newcomer, planted, planted_project
from removing import holding
from sandbox import Sandbox

from flows.registry.versions import Versions, opened
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.track import MODELS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prefect_address: str) -> Sandbox:
    """A project that trains a model router on a table of its own."""
    return planted_project(tmp_path_factory.mktemp("models") / "a project", tiny_encoder, prefect_address)


@pytest.fixture(scope="module")
def first(project: Sandbox) -> dict[str, Any]:
    return project.night()


@pytest.fixture(scope="module")
def joined(project: Sandbox, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The night that took in one candidate more."""
    return night_with_newcomer(project, tmp_path_factory.mktemp("later"))


def test_a_night_registers_a_router_that_sends_each_kind_to_its_candidate(
    project: Sandbox, first: dict[str, Any]
) -> None:
    assert (first["track"], first["verdict"], first["version"]) == ("models", "passed", "1")
    assert {"over_best_single", "calibration_error", "cost_usd", "champion_quality"} <= {
        gate["gate"] for gate in first["gates"]
    }
    prompts = ["Write a lazy function that sorts a list of buoys", "Compose a loud poem about the storm for a wedding"]
    assert chosen(project, "1", prompts)[0] == ["coder", "poet"]
    said = ask(project, "route", prompts[0], "--track", "models", "--why")
    assert said["agents"] == ["coder"]
    cells = [cell for tag in said["why"]["tags"] for cell in tag["candidates"]]
    coder, poet = (sum(c["contribution"] for c in cells if c["candidate"] == name) for name in ("coder", "poet"))
    assert coder > poet


def test_the_night_wrote_down_which_published_models_it_was_made_with(
    project: Sandbox, first: dict[str, Any], tiny_encoder: Path
) -> None:
    written = clone_of(Project(project.root), first["run_key"]) / MODELS.base_models
    assert f"  encoder  {tiny_encoder}\n" in written.read_text(encoding="utf-8")
    lock = yaml.safe_load((written.parent.parent / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    (read,) = (dep for dep in lock["models_train"]["deps"] if dep["path"] == MODELS.base_models.as_posix())
    assert read["md5"] == hashlib.md5(written.read_bytes(), usedforsecurity=False).hexdigest()
    files = ask(project, "audit", "champion", "--track", "models")["other_files"]
    assert f"{tiny_encoder}/model.safetensors" in {file["path"] for file in files if file["role"] == "encoder"}


def test_a_night_with_nothing_new_does_nothing(project: Sandbox, first: dict[str, Any]) -> None:
    again = project.night()
    assert (again["new"], again["run_key"]) == (False, first["run_key"])


def test_status_audit_trace_and_verify_tell_of_the_models(project: Sandbox, first: dict[str, Any]) -> None:
    status = ask(project, "status", "--track", "models")
    assert (status["model"], status["headline"]) == ("model-router", "quality")
    assert {row["alias"] for row in status["versions"]} == {"champion", "challenger"}
    audit = ask(project, "audit", "champion", "--track", "models")
    assert all(word in json.dumps(audit) for word in (first["run_key"], "data/outcomes.csv"))
    assert ask(project, "verify", "1", "--track", "models")
    rows = ask(project, "trace", "code-001", "--track", "models")
    assert [version["agents"] for version in rows["versions"]] == [["coder"]]
    with opened(Versions(Project(project.root).on(MODELS), "model-router").number("1")) as folder:
        graded = folder.graded().set_index(["prompt_id", "candidate"])
    np.testing.assert_allclose(graded.loc[("code-001", "coder")], [1, 0.004], rtol=1e-6)
    assert project.run("status", "--track", "agents").returncode == 0


def test_the_report_shows_quality_beside_the_oracle(project: Sandbox, first: dict[str, Any]) -> None:
    page = (project.root / first["report"]).read_text(encoding="utf-8")
    assert "oracle: the best answer to each" in page
    assert "Quality for cost" in page
    assert "Label suspects" not in page


@pytest.mark.heavy  # fast twin: that of test_two_nights_audited, by the same code
def test_a_replay_gives_the_same_bytes(project: Sandbox, first: dict[str, Any]) -> None:
    certificate = ask(project, "replay", "1", "--track", "models")
    assert certificate["verdict"] == "identical"


def test_a_candidate_joins_without_training_and_changes_nothing_else(project: Sandbox, joined: dict[str, Any]) -> None:
    assert (joined["verdict"], joined["version"]) == ("passed", "2")
    prompts = sorted(set(planted()[0]["prompt"]))
    before, after = chosen(project, "1", prompts)[1], chosen(project, "2", prompts)[1]
    assert set(after) == {*before, "newcomer"}
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    assert chosen(project, "2", ["Add up these nine invoices and tell me the total in pounds"])[0] == ["newcomer"]
    seen = Project(project.root).on(MODELS)
    with opened(Versions(seen, "model-router").number("2")) as folder:
        provenance = folder.provenance()
        assert any(m.name == "data/candidates/newcomer.csv" for m in provenance.materials)
        lineage = folder.table("lineage.parquet")
    assert (lineage["stage"] == "join").sum() + lineage["agents"].str.contains("newcomer").sum() > 0
    changes = ask(project, "diff", "1", "2", "--track", "models")
    assert changes["outcomes"] == {"added": len(planted()[1]), "removed": 0, "changed": 0}
    run = json.loads((project.root / "var/runs" / joined["run_key"] / "run.json").read_text(encoding="utf-8"))
    how = {stage: word for stage, _, word in run["timings"]}
    assert (how["models_train"], how["models_join"]) == ("unchanged", "ran")


def test_promotion_and_rollback_move_the_models_alone(project: Sandbox, joined: dict[str, Any]) -> None:
    done = project.run("promote", "2", "--track", "models", "--reason", "a better pool")
    assert done.returncode == 0, done.stderr
    assert ask(project, "status", "--track", "models")["versions"][0]["version"] == "2"
    assert ask(project, "status")["versions"] == []
    assert project.run("rollback", "--track", "models", "--reason", "complaints").returncode == 0
    assert ask(project, "status", "--track", "models")["versions"][0]["version"] == "1"


def test_a_candidate_is_refused_where_it_is_known_or_its_prompts_are_not(
    project: Sandbox, joined: dict[str, Any], tmp_path: Path
) -> None:
    later = planted()[1]
    later.assign(quality=1 - later["quality"]).to_csv(tmp_path / "again.csv", index=False)
    assert (
        "is a candidate already, with other outcomes"
        in project.run("candidate", "add", "newcomer", str(tmp_path / "again.csv")).stderr
    )
    later.assign(candidate="other", prompt_id="x-" + later["prompt_id"]).to_csv(tmp_path / "other.csv", index=False)
    done = project.run("candidate", "add", "other", str(tmp_path / "other.csv"))
    assert done.returncode == 2
    assert "is not in data/outcomes.csv" in done.stderr
    assert not (project.root / "data/candidates/other.csv").exists()


@pytest.mark.heavy  # fast twin: test_a_broken_gate_stops_registration of test_nights, by the same code
def test_a_closed_gate_keeps_a_router_out(project: Sandbox, joined: dict[str, Any]) -> None:
    project.set_params(models__gate__cost_usd=1e-6)
    done = project.run("nightly", "--json")
    assert done.returncode == 3
    night = json.loads(done.stdout)["nights"][0]
    assert night["version"] is None
    assert "cost_usd" in [gate["gate"] for gate in night["gates"] if gate["verdict"] == "failed"]


def test_a_row_of_the_models_table_is_forgotten_in_all_that_holds_it(project: Sandbox, joined: dict[str, Any]) -> None:
    """The last test: it takes the row out of the table, of what joined, and of versions."""
    erase = ("forget", "code-001", "--reason", "deletion request 17", "--erase")
    assert "is changed and not committed" in project.run(*erase).stderr
    project.git("add", "-A")
    project.git("commit", "--quiet", "-m", "data")
    done = ask(project, *erase)
    assert done["taken_out"] == {"data/candidates/newcomer.csv": 1, "data/outcomes.csv": len(COST)}
    assert done["models"] == {"marked": ["1", "2"], "in_service": ["1"]}
    text = KINDS["code"][0].format(FIRST[0], SECOND[1])
    waiting = [line for line in done["erased"]["remaining"] if "version 1 serves" not in line]
    assert waiting == []
    assert holding(project.root, text) == []
    assert "code-001" in project.run("promote", "2", "--track", "models", "--reason", "again").stderr
