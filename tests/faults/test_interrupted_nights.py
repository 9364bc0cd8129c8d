"""Nights that are cut short or fed bad data lose nothing and register nothing half."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox import Sandbox, copy_project, make_tiny

from flows.workspace.project import NIGHT_MARK


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Sandbox:
    sandbox = copy_project(tmp_path_factory.mktemp("faults") / "project")
    make_tiny(sandbox, tiny_encoder)
    return sandbox


def records(project: Sandbox) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(project.root.glob("var/runs/*/run.json"))]


def test_bad_data_stops_the_night_before_anything_trains(project: Sandbox) -> None:
    path = project.root / "data" / "prompts.csv"
    good = path.read_text()
    path.write_text(good.replace(",coding,", ",no_such_agent,"))
    done = project.run("nightly")
    assert done.returncode == 2
    assert "validate:" in done.stderr
    clone = next(project.root.glob("var/runs/*/clone"))
    assert (clone / "var" / "stages" / "validate" / "quarantine.csv").read_text().count("no_such_agent") > 10
    assert not (clone / "var" / "stages" / "train").exists()
    assert "no_such_agent" in (clone.parent / "report.html").read_text()
    path.write_text(good)


def test_a_killed_night_is_resumed_under_the_same_key(project: Sandbox) -> None:
    night = project.start("nightly", "--json")
    deadline = time.monotonic() + 300
    while not list(project.root.glob("var/runs/*-0002/clone/var/stages/split/train.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    night.send_signal(signal.SIGKILL)
    night.communicate()
    assert [record["state"] for record in records(project)] == ["abandoned", "unfinished"]
    resumed = project.night()
    assert resumed["run_key"] == records(project)[1]["key"]
    assert [record["state"] for record in records(project)] == ["abandoned", "finished"]
    assert len(project.versions()) == 1


def test_nothing_of_a_killed_night_is_alive_after_the_next(project: Sandbox) -> None:
    left = []
    for process in psutil.process_iter():
        try:
            left += [process.cmdline()] if process.environ().get(NIGHT_MARK) == str(project.root) else []
        except (psutil.Error, OSError):
            continue
    assert left == []
