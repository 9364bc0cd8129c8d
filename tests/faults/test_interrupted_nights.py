"""Nights that are cut short or fed bad data lose nothing and register nothing half."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import replace
from typing import Any

import psutil
import pytest
from sandbox import Sandbox

from flows.workspace.project import NIGHT_MARK


@pytest.fixture(scope="module")
def project(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A project after two nights, whose next nights each have a Prefect server of their own."""
    return replace(two_versions.copy_to(tmp_path_factory.mktemp("faults") / "project"), prefect="")


def records(project: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(project.root.glob("var/runs/*/run.json"))]


def is_in(stage: str, night: subprocess.Popen[str]) -> bool:
    """Whether a night is running a stage at this moment."""
    return any(f"pipeline.stages.{stage}" in child.cmdline()[-1:] for child in alive(psutil.Process(night.pid)))


def alive(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


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


def test_a_killed_night_is_resumed_under_the_same_key(project: Sandbox) -> None:
    project.set_params(evaluate__resamples=101)
    night = project.start("nightly", "--json")
    deadline = time.monotonic() + 300
    while not is_in("evaluate", night):
        assert time.monotonic() < deadline
        assert night.poll() is None
        time.sleep(0.1)
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
