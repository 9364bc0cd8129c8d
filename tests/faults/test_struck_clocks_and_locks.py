"""Nights whose clock was set back, that meet others, or that find what a killed one left of its locks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from removing import commit_data
from sandbox import Sandbox
from second_night import train_rows
from struck_nights import judged, latest_key, nothing_lost

from flows.workspace import runs
from flows.workspace.lock import held
from flows.workspace.project import Project

CLOCK = """
#define _GNU_SOURCE
#include <time.h>
#include <sys/time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    int done = syscall(SYS_clock_gettime, id, t);
    if (!done && id == CLOCK_REALTIME) t->tv_sec -= BACK;
    return done;
}
time_t time(time_t *to) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return to ? (*to = t.tv_sec) : t.tv_sec;
}
int gettimeofday(struct timeval *to, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    to->tv_sec = t.tv_sec;
    to->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""
FORTY_DAYS = 40 * 24 * 3600


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path) -> Sandbox:
    """A project after two nights, with one late stage that has something to do."""
    copy = two_versions.copy_to(tmp_path / "project")
    copy.set_params(gate__resamples=101)
    return copy


@pytest.mark.faults
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for a clock of our own")
def test_the_clock_is_set_back(project: Sandbox, tmp_path: Path) -> None:
    before = latest_key(project)
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-DBACK={FORTY_DAYS}", "-o", str(library), str(tmp_path / "clock.c")], check=True
    )
    night = replace(project, settings=(("LD_PRELOAD", str(library)),)).start("nightly", "--json")
    out, err = night.communicate()
    assert judged(project, "clock set back", "40 days", night.returncode, out, err).code == 0
    first, last = before.split("-", 1)[1], latest_key(project).split("-", 1)[1]
    assert (last < first, last[-4:]) == (True, "0003"), "an earlier date, and the next number"
    assert not project.night()["new"]
    nothing_lost(project, 3)


@pytest.mark.faults
def test_two_nights_in_one_second(project: Sandbox) -> None:
    nights = [project.start("nightly", "--json") for _ in range(2)]
    ended = [(*night.communicate(), night.returncode) for night in nights]
    codes = [judged(project, "two nights at once", name, code, out, err).code
             for name, (out, err, code) in zip(("the one", "the other"), ended, strict=True)]  # fmt: skip
    assert sorted(codes) == [0, 5]
    nothing_lost(project, 3)


@pytest.mark.faults
def test_a_night_a_promotion_and_a_forgetting_at_once(project: Sandbox) -> None:
    commit_data(project)
    row = train_rows(project)[7]["prompt_id"]
    verbs = {
        "night": ("nightly", "--json"),
        "promote": ("promote", "2", "--reason", "at once", "--force"),
        "forget": ("forget", row, "--reason", "asked for"),
    }
    under_way = {name: project.start(*arguments) for name, arguments in verbs.items()}
    ended = {name: (*process.communicate(), process.returncode) for name, process in under_way.items()}
    for name, (out, err, code) in ended.items():
        judged(project, "night, promote, forget", name, code, out, err)
        if code:
            done = project.run(*verbs[name])
            assert done.returncode == 0, (name, err, done.stderr)
    ended_well = project.night()
    nothing_lost(project, int(ended_well["version"]))
    assert row not in (project.root / "data" / "prompts.csv").read_text()


def test_two_keys_of_one_second_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "now", lambda: "2026-11-22T03:00:00+00:00")
    project = Project(tmp_path)
    keys = []
    for identity in ("a", "b"):
        run, resumed = runs.open_run(project, identity, "UTC", ())
        runs.save(project, replace(run, state=runs.FINISHED, ended=runs.now()))
        keys += [(run.key, run.sequence, resumed)]
    assert [key[1:] for key in keys] == [(1, False), (2, False)]
    assert len({key[0] for key in keys}) == 2
    latest = runs.latest_finished(project)
    assert latest is not None
    assert latest.identity == "b"


def test_a_process_number_that_was_given_to_another_holds_no_lock(tmp_path: Path) -> None:
    """The kernel's lock went with its holder; what the holder wrote down names a number that lives again."""
    facts = {"pid": os.getppid(), "purpose": "nightly", "since": "2026-11-22T03:00:00+00:00"}
    (tmp_path / "night.holder.json").write_text(json.dumps(facts))
    with held(tmp_path / "night.lock", "nightly"):
        assert json.loads((tmp_path / "night.holder.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "night.holder.json").exists()
