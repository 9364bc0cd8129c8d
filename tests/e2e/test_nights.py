"""Nights on the real tools, one after another in one project, as a team lives through them."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from sandbox import Sandbox
from second_night import SecondNight

import mlflow
from flows.workspace.night_log import GATE_CLOSED, nights
from flows.workspace.project import Project
from pipeline.runtime.tables import sha256_file

STAGES = ["validate", "split", "label_noise", "augment", "train", "suspects", "optimize", "evaluate", "gate", "lineage"]


@pytest.fixture(scope="module")
def first(first_night: dict[str, Any]) -> dict[str, Any]:
    return first_night


def clone_of(project: Sandbox, night: dict[str, Any]) -> Path:
    return project.root / "var" / "runs" / night["run_key"] / "clone"


def test_the_first_night_registers_a_gated_version(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    assert first["new"]
    assert first["verdict"] == "passed"
    assert first["version"] == "1"
    assert all(gate["verdict"] == "passed" for gate in first["gates"])
    assert (tiny_project.root / first["report"]).is_file()
    assert (tiny_project.root / first["data_docs"]).is_file()


def test_status_tells_version_aliases_gates_metrics_and_run_key(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    status = json.loads(tiny_project.run("status", "--json").stdout)
    champion = status["versions"][0]
    assert champion["alias"] == "champion"
    assert champion["version"] == "1"
    assert champion["aliases"] == ["challenger", "champion"]
    assert champion["run_key"] == first["run_key"] == status["last_night"]["run_key"]
    assert status["last_night"]["gates"] == first["gates"]
    assert 0 <= status["last_night"]["metrics"]["micro_f1"]["low"] <= 1


def test_every_task_run_of_the_night_is_in_prefects_database(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    with sqlite3.connect(tiny_project.root / "var" / "prefect" / "prefect.db") as database:
        query = "select t.name, t.state_type from task_run t join flow_run f on t.flow_run_id = f.id where f.name = ?"
        found = dict(database.execute(query, (first["run_key"],)).fetchall())
        artifacts = set(database.execute("select key, type from artifact"))
    tasks = [*STAGES, "register"]
    assert {name.split("-")[0]: state for name, state in found.items()} == dict.fromkeys(tasks, "COMPLETED")
    assert {key.replace("-", "_") for key, kind in artifacts if kind == "markdown"} >= set(STAGES)
    assert {("gates", "table"), ("train-progress", "progress")} <= artifacts


def test_what_was_trained_is_a_commit_that_the_main_repository_keeps(
    tiny_project: Sandbox, first: dict[str, Any]
) -> None:
    ref = f"refs/switchtender/runs/{first['run_key']}"
    assert tiny_project.git("rev-parse", ref) == first["commit"]
    lock = yaml.safe_load(tiny_project.git("show", f"{ref}:dvc.lock"))
    assert sorted(lock["stages"]) == sorted(STAGES)
    assert tiny_project.git("status", "--porcelain") == ""


def test_the_mlflow_run_carries_our_digests_and_reports(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    version = tiny_project.versions()[0]
    client = mlflow.MlflowClient(f"sqlite:///{tiny_project.root / 'var' / 'mlflow.db'}")
    run = client.get_run(version.mlflow_run)
    digests = {i.dataset.name: {t.key: t.value for t in i.tags}["sha256"] for i in run.inputs.dataset_inputs}
    assert digests["data/prompts.csv"] == sha256_file(tiny_project.root / "data" / "prompts.csv")
    logged = {item.path for item in client.list_artifacts(version.mlflow_run, "reports")}
    assert "reports/report.html" in logged
    assert run.data.metrics["evaluate.micro_f1"] >= 0
    assert (
        version.tags["router_sha256"]
        == json.loads((clone_of(tiny_project, first) / "var/stages/train/summary.json").read_text())["router_sha256"]
    )


def test_the_registered_model_answers_as_the_command_does(
    tiny_project: Sandbox, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Translate this contract into German and email it to Ana"
    routed = json.loads(tiny_project.run("route", prompt, "--json").stdout)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tiny_project.root / 'var' / 'mlflow.db'}")
    monkeypatch.chdir(tiny_project.root)  # whose public key is at hand there
    mlflow.set_tracking_uri(f"sqlite:///{tiny_project.root / 'var' / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model("models:/agent-router@champion")
    row = model.predict(pd.DataFrame({"prompt": [prompt]})).iloc[0]
    assert set(row["agents"].split("|")) == set(routed["agents"])
    assert {name: round(row[name], 6) for name in routed["scores"]} == routed["scores"]


def test_route_names_every_agent_the_likeliest_first(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    scores = json.loads(tiny_project.run("route", "Translate this contract into German", "--json").stdout)["scores"]
    assert len(scores) == 20
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert all(0 <= score <= 1 for score in scores.values())


def test_the_router_is_compared_with_both_baselines(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    report = json.loads((clone_of(tiny_project, first) / "var/stages/evaluate/metrics.json").read_text())
    for baseline in ("tfidf", "linear"):
        over = report["micro_f1_over"][baseline]
        assert over["low"] <= over["value"] <= over["high"]


def test_doctor_finds_nothing_missing(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    done = tiny_project.run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert {check["state"] for check in json.loads(done.stdout)} == {"ok"}


def test_a_second_night_does_nothing(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    again = tiny_project.night()
    assert not again["new"]
    assert again["run_key"] == first["run_key"]
    assert len(tiny_project.versions()) == 1
    assert len(list((tiny_project.root / "var" / "runs").iterdir())) == 1


@pytest.mark.heavy  # fast twin: a replay, whose stages are run by DVC alone
@pytest.mark.parametrize("targets", [("train",), ()], ids=["train", "all"])
def test_the_stages_alone_give_the_same_hashes(
    tiny_project: Sandbox, first: dict[str, Any], tmp_path: Path, targets: tuple[str, ...]
) -> None:
    import subprocess
    import sys

    alone = Sandbox(tmp_path / "alone")
    tiny_project.git("clone", "--quiet", str(tiny_project.root), str(alone.root))
    subprocess.run([sys.executable, "-m", "flows.setup"], cwd=alone.root, env=alone.env(), check=True)
    env = alone.env() | {"PATH": f"{Path(sys.executable).parent}:{alone.env()['PATH']}"}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", *targets], cwd=alone.root, env=env, check=True)
    ours = yaml.safe_load((alone.root / "dvc.lock").read_text())["stages"]
    theirs = yaml.safe_load((clone_of(tiny_project, first) / "dvc.lock").read_text())["stages"]
    stages = STAGES[: STAGES.index("train") + 1] if targets else STAGES
    assert {stage: ours[stage]["outs"] for stage in stages} == {stage: theirs[stage]["outs"] for stage in stages}


@pytest.fixture(scope="module")
def second(second_night: SecondNight) -> dict[str, Any]:
    return {**second_night.facts, "changed": second_night.relabelled}


def test_a_changed_row_retrains_and_challenges(tiny_project: Sandbox, second: dict[str, Any]) -> None:
    assert second["new"]
    assert second["version"] == "2"
    one, two = tiny_project.versions()
    assert one.tags["router_sha256"] != two.tags["router_sha256"]
    status = json.loads(tiny_project.run("status", "--json").stdout)
    assert {v["alias"]: v["version"] for v in status["versions"]} == {"champion": "1", "challenger": "2"}


def test_the_gates_compared_with_the_champion(second: dict[str, Any]) -> None:
    names = {gate["gate"] for gate in second["gates"]}
    assert {"champion_micro_f1", "champion_rare_recall", "champion_f1_coding"} <= names
    assert all(gate["value"] is not None for gate in second["gates"] if gate["gate"].startswith("champion"))


def test_the_report_names_the_changed_row_and_the_uncommitted_file(
    tiny_project: Sandbox, second: dict[str, Any]
) -> None:
    page = (tiny_project.root / second["report"]).read_text()
    assert second["changed"] in page
    assert "data/prompts.csv" in page


def test_a_broken_gate_stops_registration(tiny_project: Sandbox, second: dict[str, Any]) -> None:
    tiny_project.set_params(gate__micro_f1=0.999)
    night = tiny_project.night(expect=3)
    assert night["verdict"] == "failed"
    assert night["version"] is None
    assert len(tiny_project.versions()) == 2
    again = tiny_project.run("nightly")
    assert again.returncode == 3
    assert "nothing new since" in again.stderr
    assert "micro_f1" in again.stderr
    tiny_project.set_params(gate__micro_f1=0.0)
    closed, once_more = nights(Project(tiny_project.root))[-2:]
    assert (closed.result, closed.run_key, once_more.result) == (GATE_CLOSED, night["run_key"], GATE_CLOSED)
    assert "gate not passed: micro_f1" in closed.reason


def test_two_nights_at_once_make_one_version(tiny_project: Sandbox, second: dict[str, Any]) -> None:
    before = len(tiny_project.versions())
    tiny_project.set_params(gate__margin=0.9)
    nights = [tiny_project.start("nightly", "--json") for _ in range(2)]
    ends = [night.communicate() for night in nights]
    codes = [night.returncode for night in nights]
    assert sorted(codes) == [0, 5], ends
    assert "held by nightly (process" in ends[codes.index(5)][1]
    assert len(tiny_project.versions()) == before + 1


def test_uncommitted_code_is_refused(tiny_project: Sandbox, first: dict[str, Any]) -> None:
    path = tiny_project.root / "pipeline" / "metrics" / "multilabel.py"
    code = path.read_text()
    path.write_text(code + "\n# a change\n")
    done = tiny_project.run("nightly")
    path.write_text(code)
    assert done.returncode == 2
    assert "pipeline/metrics/multilabel.py is changed and not committed" in done.stderr


@pytest.mark.heavy
def test_a_reworded_holdout_prompt_is_asked_of_the_champion_again(
    tiny_project: Sandbox, second: dict[str, Any]
) -> None:
    path = tiny_project.root / "data" / "prompts.csv"
    text = path.read_text()
    held_out = next(r for r in csv.DictReader(text.splitlines()) if r["prompt_id"] == holdout_ids(tiny_project)[0])
    first_words = held_out["prompt"].split("\n")[0][:30]
    path.write_text(text.replace(first_words, "Well then. " + first_words, 1))
    night = tiny_project.night()
    compared = next(gate for gate in night["gates"] if gate["gate"] == "champion_micro_f1")
    assert compared["verdict"] == "passed"
    assert compared["value"] is not None


def holdout_ids(project: Sandbox) -> list[str]:
    return [line for line in (project.root / "data" / "holdout.txt").read_text().split("\n")[1:] if line]
