"""Each stage of a night under each fault: one clear line, and the next night carries on under the same key."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from sandbox import Sandbox
from struck_nights import (
    STAGES,
    alive,
    full,
    judged,
    latest_key,
    nothing_lost,
    process_of,
    read_only,
    small_disk,
    struck,
    wait_for,
)

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small or a read-only disk")


@pytest.fixture(scope="module")
def project(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A project after two nights, on a small disk of its own where we may make one, with its own temporary files."""
    place = tmp_path_factory.mktemp("struck") / "disk"
    before = os.environ.get("TMPDIR")
    with small_disk(place, 800) if os.geteuid() == 0 else nullcontext(place):
        (place / "tmp").mkdir(parents=True)
        os.environ["TMPDIR"] = str(place / "tmp")
        yield two_versions.copy_to(place / "project")
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def make_stale(project: Sandbox, times: int) -> None:
    """Let every stage have something to do."""
    project.set_params(run__seed=7 + times, validate__max_quarantined_share=0.02 + times / 1000)


def stage_folder(project: Sandbox) -> Path:
    return project.root / "var" / "runs" / latest_key(project) / "clone" / "var" / "stages"


@pytest.mark.faults
@NEEDS_ROOT
def test_a_late_stage_meets_a_full_disk_and_is_killed(project: Sandbox) -> None:
    project.set_params(gate__resamples=101, nightly__retry_delay_seconds=0)
    assert struck(project, "disk full", "gate", lambda: full(project.root.parent)).code == 1
    killed(project, ("gate",))
    nothing_lost(project, 3)


@pytest.mark.faults
@NEEDS_ROOT
def test_a_disk_is_full(project: Sandbox) -> None:
    make_stale(project, 1)
    strike_each(project, "disk full", ("start", *STAGES, "push", "register"), lambda _: full(project.root.parent))


@pytest.mark.faults
@NEEDS_ROOT
def test_a_disk_is_read_only(project: Sandbox) -> None:
    def strike(moment: str) -> AbstractContextManager[None]:
        return read_only(project.root / "var" if moment == "start" else stage_folder(project))

    make_stale(project, 2)
    strike_each(project, "read-only", ("start", "split", "train", "gate"), strike)


def strike_each(
    project: Sandbox, fault: str, moments: Sequence[str], strike: Callable[[str], AbstractContextManager[None]]
) -> None:
    """One night under a fault at each moment in turn, taken up again each time."""
    versions = len(project.versions())
    for moment in moments:
        cell = struck(project, fault, moment, partial(strike, moment))
        assert cell.code, cell
    key = latest_key(project)
    nothing_lost(project, versions + 1)
    assert latest_key(project) == key


def killed(project: Sandbox, stages: Sequence[str]) -> None:
    """A night of which each of these stages is killed once, as for want of memory; it tries each again by itself."""
    night = project.start("nightly", "--json")
    for stage in stages:
        wait_for(stage, project, night)
        found = process_of(stage, night)
        assert found is not None
        found.kill()
        while found.is_running() and found.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)
    out, err = night.communicate()
    for stage in stages:
        assert judged(project, "killed (OOM)", stage, night.returncode, out, err).code == 0


@pytest.mark.faults
def test_each_stage_is_killed_once(project: Sandbox) -> None:
    make_stale(project, 3)
    project.set_params(nightly__retry_delay_seconds=0)
    versions = len(project.versions())
    killed(project, STAGES)
    nothing_lost(project, versions + 1)


def server_of(night: subprocess.Popen[str]) -> psutil.Process:
    """The Prefect server that a night started."""
    return next(child for child in alive(psutil.Process(night.pid)) if child.cmdline()[-8:-5] == SERVER)


SERVER = ["prefect", "server", "start"]


@pytest.mark.faults
@pytest.mark.parametrize("stage", ["train", "lineage"])
def test_prefects_server_goes_away(project: Sandbox, stage: str) -> None:
    alone = replace(project, prefect="")
    make_stale(project, 4 + STAGES.index(stage))
    versions = len(project.versions())
    night = alone.start("nightly", "--json")
    wait_for(stage, project, night)
    server = server_of(night)
    server.kill()
    out, err = night.communicate()
    assert judged(project, "Prefect gone", stage, night.returncode, out, err).code in (0, 1)
    nothing_lost(project, versions + 1)
