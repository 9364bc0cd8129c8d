"""The schedule's process: whose server it uses, what it outlives, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from flows.night.prefect_server import advertise, require_free, running_server
from flows.schedule import process, state
from flows.schedule.calendar import Calendar
from flows.schedule.process import MARK, ScheduleOptions, run_schedule, take_up_missed
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError

DAILY = Calendar("0 3 * * *", "UTC")
SPRING = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPTIONS = ScheduleOptions(DAILY, 4200, ui=False)


def write_params(folder: Path, tracks: str = "agents") -> None:
    params = {"cron": "0 3 * * *", "timezone": "UTC", "page": "", "stage_timeout_minutes": 60, "retries": 0}
    nightly = {"tracks": tracks.split(", "), "retry_delay_seconds": 1, **params}
    (folder / "params.yaml").write_text(yaml.safe_dump({"nightly": nightly}))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose schedule began in the spring."""
    write_params(tmp_path)
    state.begin(Project(tmp_path), DAILY, SPRING)
    return Project(tmp_path)


def test_a_track_that_params_leave_out_by_now_is_not_asked_for(project: Project) -> None:
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "crash_left_behind", lambda *_: None)
        patched.setattr(process, "start_night", lambda _api, names, *_, **__: asked.extend(names))
        for names in ("agents, models", "agents"):
            write_params(project.root, names)
            take_up_missed("", project, SPRING + timedelta(days=3), print)
    assert asked == ["agents", "models", "agents"]


def test_a_server_of_another_project_is_not_ones_own(project: Project, prefect_address: str) -> None:
    advertise(project, prefect_address)  # as a copied project has it, or one whose port another one took
    assert running_server(project) == ""


def test_a_server_on_the_projects_database_is_its_own(project: Project, own_prefect: str) -> None:
    advertise(project, own_prefect)
    assert running_server(project) == own_prefect


def test_a_port_that_is_taken_is_refused_before_anything_is_asked_of_it(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} is taken \(.*perhaps by the schedule of another project"):
            run_schedule(project, [project], ScheduleOptions(DAILY, port, ui=False), print)
    require_free(port)


def test_a_log_of_nights_that_cannot_be_read_is_told_at_the_start(project: Project) -> None:
    (project.var / "nights.jsonl").mkdir()
    with pytest.raises(InputError, match=r"nights\.jsonl cannot be read \(a folder, not a file\); mend that"):
        run_schedule(project, [project], OPTIONS, print)


@pytest.mark.parametrize("trouble", ["a folder", "the lock is taken"])
def test_what_hinders_a_missed_night_is_told_once_and_ends_no_schedule(
    project: Project, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    tell = process._without_repeats(told.append)
    if trouble == "a folder":
        (project.var / "nights.jsonl").mkdir()
    monkeypatch.setattr(process, "is_under_way", lambda _project: False)  # and a moment later it is
    with held(project.var / "scheduled.lock", "a scheduled night"):
        for _ in range(3):
            take_up_missed("http://127.0.0.1:9/api", project, SPRING + timedelta(days=3), tell)
    assert len(told) == 1
    assert told[0].startswith("missed nights are not taken up yet: ")


def test_a_server_that_does_not_start_again_is_tried_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    told: list[str] = []
    children = process._Children(project, OPTIONS, told.append)
    children.server = process._Child(lambda: subprocess.Popen(["false"]))
    monkeypatch.setattr("flows.schedule.process.time.sleep", pauses.append)
    for _ in range(3):
        children.server.process.wait()
        children.keep_up()
    assert pauses == [2.0, 4.0, 8.0]
    assert all(line.startswith("Prefect's server ended (exit 1)") for line in told)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_it_started_is_ended_with_it_also_by_a_second_signal(project: Project, number: signal.Signals) -> None:
    script = (
        "import os, signal, sys, time\n"
        "from flows.schedule.process import _stopped_by_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # whoever runs the tests may ignore these two
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with _stopped_by_signals():\n"
        "    try:\n"
        "        print('up', flush=True)\n"
        "        [time.sleep(0.1) for _ in range(600)]\n"
        "    finally:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        time.sleep(0.1)\n"
        "        print('tidied up', flush=True)\n"
    )
    started = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    started.send_signal(number)
    assert started.communicate(timeout=30)[0] == "tidied up\n"
    assert started.returncode == 0


def test_a_stage_in_a_session_of_its_own_is_ended_too(project: Project) -> None:
    marked = {**os.environ, MARK: str(project.root)}
    # Started by a process that has ended, as a stage whose night was killed.
    command = (
        "import subprocess\n"
        "nowhere = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}\n"
        "print(subprocess.Popen(['sleep', '60'], start_new_session=True, **nowhere).pid)"
    )
    pid = int(subprocess.run([sys.executable, "-c", command], env=marked, capture_output=True, check=True).stdout)
    assert Path(f"/proc/{pid}/cmdline").read_bytes()
    process._Children(project, OPTIONS, print)._end()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
