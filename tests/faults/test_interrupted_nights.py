"""Nights that are cut short or fed bad data lose nothing and register nothing half."""

from __future__ import annotations

import errno
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from sandbox import Sandbox, flip
from struck_nights import wait_for

import mlflow
from flows.mend import mend
from flows.night import nightly
from flows.registry import registration
from flows.registry.mlflow_store import Registry
from flows.registry.registration import FinishedNight
from flows.workspace import runs
from flows.workspace.project import NIGHT_MARK, Project
from pipeline.runtime.errors import SwitchtenderError


@pytest.fixture(scope="module")
def project(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A project after two nights, whose next nights each have a Prefect server of their own."""
    return replace(two_versions.copy_to(tmp_path_factory.mktemp("faults") / "project"), prefect="")


def records(project: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(project.root.glob("var/runs/*/run.json"))]


def test_bad_data_stops_the_night_before_anything_trains(project: Sandbox) -> None:
    path = project.root / "data" / "prompts.csv"
    good = path.read_text()
    path.write_text(good.replace(",coding,", ",no_such_agent,"))
    done = project.run("nightly")
    assert done.returncode == 2
    assert "validate:" in done.stderr
    clone = next(project.root.glob("var/runs/*-0003/clone"))
    assert (clone / "var" / "stages" / "validate" / "quarantine.csv").read_text().count("no_such_agent") > 10
    assert not (clone / "var" / "stages" / "train").exists()
    assert "no_such_agent" in (clone.parent / "report.html").read_text()
    assert len(project.versions()) == 2
    path.write_text(good)


@pytest.mark.heavy  # fast twin: test_schedule.py kills a night, which goes on under its key
def test_a_killed_night_is_resumed_under_the_same_key(project: Sandbox) -> None:
    project.set_params(evaluate__resamples=101)
    night = project.start("nightly", "--json")
    wait_for("evaluate", project, night)
    night.send_signal(signal.SIGKILL)
    night.communicate()
    assert [record["state"] for record in records(project)] == ["finished", "finished", "abandoned", "unfinished"]
    resumed = project.night()
    assert resumed["run_key"] == records(project)[3]["key"]
    assert [record["state"] for record in records(project)] == ["finished", "finished", "abandoned", "finished"]
    assert len(project.versions()) == 3


def test_nothing_of_a_killed_night_is_alive_after_the_next(project: Sandbox) -> None:
    left = []
    for process in psutil.process_iter():
        try:
            left += [process.cmdline()] if process.environ().get(NIGHT_MARK) == str(project.root) else []
        except (psutil.Error, OSError):
            continue
    assert left == []


def unfinish(project: Sandbox, number: int) -> str:
    """Leave a night as one that was killed after registration, before its report; returns its key."""
    path = sorted(project.root.glob("var/runs/*/run.json"))[number]
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "state": "unfinished", "ended": "", "version": "", "report": ""}))
    return str(record["key"])


def test_a_night_killed_after_registration_is_taken_up_as_it_was_recorded(
    two_versions: Sandbox, tmp_path: Path
) -> None:
    project = replace(two_versions.copy_to(tmp_path / "project"), prefect="")
    assert project.run("promote", "2", "--reason", "the champion is another since").returncode == 0
    key = unfinish(project, 1)
    ref = f"refs/switchtender/runs/{key}"
    recorded = project.git("rev-parse", ref)
    resumed = project.night()
    assert (resumed["run_key"], resumed["version"]) == (key, "2")
    assert project.git("rev-parse", ref) == recorded
    assert len(project.versions()) == 2
    done = project.run("verify", "--all")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_night_killed_before_its_version_was_made_finds_what_it_had_logged(
    two_versions: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever experiment MLflow takes for the present one in the process that goes on."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    copy = two_versions.copy_to(tmp_path / "project")
    project, (_, made) = Project(copy.root), copy.versions()
    registry = Registry(project, "agent-router")
    registry.prepare()
    run = next(run for run in runs.all_runs(project) if run.key == made.run_key)
    clone = runs.clone_of(project, run.key)
    night = FinishedNight(run.key, clone, run.commit, run.data, run.verdict, run.started, run.ended)
    mlflow.set_experiment("of somebody else")
    registration._create_version(registry, night, run.mlflow_run)
    again = copy.versions()[-1]
    assert (again.version, again.run_key) == ("3", made.run_key)
    assert registry.client.get_model_version("agent-router", "3").source == (
        registry.client.get_model_version("agent-router", "2").source
    )


def test_a_key_is_never_allotted_again_whatever_lies_in_var(two_versions: Sandbox, tmp_path: Path) -> None:
    project = Project(two_versions.copy_to(tmp_path / "project").root)
    _, second = sorted(project.runs.glob("*/run.json"))
    second.write_text("{")
    with pytest.raises(SwitchtenderError, match=r"doctor --mend"):
        runs.all_runs(project)
    assert f"{second.parent.name}: run.json set aside as run.json.damaged" in mend(project)
    assert mend(project) == []
    run, resumed = runs.open_run(project, "another identity", "UTC", nightly.taken_keys(project))
    assert (run.sequence, resumed) == (3, False)
    shutil.rmtree(project.runs)
    assert runs.open_run(project, "another identity", "UTC", nightly.taken_keys(project))[0].sequence == 3
    assert runs.open_run(project, "one more", "UTC", ())[0].sequence == 4


def test_a_changed_object_in_the_cache_is_not_learnt_from(two_versions: Sandbox, tmp_path: Path) -> None:
    project = replace(two_versions.copy_to(tmp_path / "project"), prefect="")
    lock = yaml.safe_load(next(project.root.glob("var/runs/*-0002/clone/dvc.lock")).read_text())
    md5 = next(out["md5"] for out in lock["stages"]["augment"]["outs"] if out["path"].endswith("train.parquet"))
    path = project.root / "var" / "dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    flip(path)
    project.set_params(optimize__int8=False)
    done = project.run("nightly")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "var/stages/augment/train.parquet is not what stage augment recorded" in done.stderr
    assert len(project.versions()) == 2


def test_a_report_that_cannot_be_written_does_not_hide_why_a_night_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nightly, "_report", full)
    project, told = Project(tmp_path), list[str]()
    run, _ = runs.open_run(project, "an identity", "UTC", ())
    nightly._report_stopped(project, run, None, SwitchtenderError("stage train failed"), told.append)
    assert told == ["stopped; no report ([Errno 28] No space left on device)"]
