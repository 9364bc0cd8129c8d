"""Five minutes of a schedule that starts a night each minute: killed, restarted, its server gone, asked by a person."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from browser import CHROMIUM
from playwright.sync_api import sync_playwright
from sandbox import Sandbox, copy_project, make_tiny

from flows.schedule.process import MARK
from flows.schedule.state import schedule_state
from flows.workspace.night_log import CUT_SHORT, NOTHING_NEW, REGISTERED, SETTLED, Night, nights
from flows.workspace.project import Project
from flows.workspace.runs import FINISHED, all_runs

pytestmark = pytest.mark.schedule
MINUTES = 5


@dataclass
class Story:
    """What a test does to a schedule in five minutes, and what is left of it."""

    project: Project
    sandbox: Sandbox
    port: int
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    process: subprocess.Popen[str] | None = None
    out: str = ""

    def start(self) -> None:
        self.process = self.sandbox.start("schedule", "--cron", "* * * * *", "--ui", "--port", str(self.port))

    def stop(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        said, wrong = self.process.communicate(timeout=60)
        self.out += said + wrong
        return self.process.returncode

    def wait(self, what: str, seconds: float, come: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not come():
            assert time.monotonic() < deadline, f"{what} did not come: {nights(self.project)}"
            time.sleep(0.5)

    def nights(self, *results: str) -> list[Night]:
        return [night for night in nights(self.project) if night.result in results]

    def dates(self) -> list[datetime]:
        """The dates whose night has come to its end."""
        return [datetime.fromisoformat(night.scheduled) for night in self.nights(*SETTLED) if night.scheduled]

    def stages_done(self) -> int:
        return max((len(run.timings) for run in all_runs(self.project)), default=0)


def left_of(project: Project) -> list[psutil.Process]:
    """The processes that bear the schedule's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(project.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Iterator[Story]:
    """The five minutes. The schedule is killed in its first night, and later its server."""
    sandbox = copy_project(tmp_path_factory.mktemp("schedule") / "a project")
    make_tiny(sandbox, tiny_encoder)
    story = Story(Project(sandbox.root), sandbox, free_port())
    try:
        story.start()
        story.wait("the first night's third stage", 180, lambda: story.stages_done() >= 3)
        story.stop(signal.SIGKILL)
        story.start()
        story.wait("a registered night", 240, lambda: bool(story.nights(REGISTERED)))
        (server,) = [one for one in left_of(story.project) if {"server", "start"} <= set(one.cmdline())]
        server.kill()
        story.wait("a night on the new server", 180, lambda: bool(story.nights(NOTHING_NEW)))
        ask_for_a_night(story)
        end = story.began + timedelta(minutes=MINUTES - 1)
        story.wait("the end", 400, lambda: max(story.dates()) > end)
        assert story.stop(signal.SIGTERM) == 0
        yield story
    finally:
        for process in left_of(story.project):
            process.kill()


def ask_for_a_night(story: Story) -> None:
    """Start a night as a person does on Prefect's page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{story.port}/deployments")
        page.get_by_text("nightly", exact=True).first.click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run").click()
        page.get_by_text("Whose routers to retrain").wait_for()
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url(re.compile(r"tab=Runs|flow-run"))
        browser.close()
    story.wait("the night that was asked for", 120, lambda: any(not n.scheduled for n in story.nights(*SETTLED)))


def test_no_date_has_two_nights_and_none_is_lost(story: Story) -> None:
    dates = story.dates()
    assert len(dates) == len(set(dates))
    minutes = {min(dates) + timedelta(minutes=n) for n in range((max(dates) - min(dates)) // timedelta(minutes=1) + 1)}
    assert set(dates) == minutes
    state = schedule_state(story.project)
    assert state is not None
    assert min(dates) - datetime.fromisoformat(state.since) < timedelta(minutes=1)
    assert story.began + timedelta(minutes=MINUTES - 1) < max(dates)


def test_the_killed_night_went_on_under_its_key(story: Story) -> None:
    (registered,) = story.nights(REGISTERED)
    (run,) = all_runs(story.project)
    assert (run.key, run.state, run.version) == (registered.run_key, FINISHED, "1")
    killed = [night for night in nights(story.project) if night.result in ("", CUT_SHORT)]
    # On a busy machine one may be cut short before it has said its key.
    assert {night.run_key for night in killed} - {""} == {run.key}
    assert any(how == "unchanged" for _, _, how in run.timings)
    assert len(story.sandbox.versions()) == 1


def test_a_night_asked_for_on_prefects_page_is_none_of_the_schedules(story: Story) -> None:
    (asked,) = [night for night in story.nights(*SETTLED) if not night.scheduled]
    assert asked.result == NOTHING_NEW


def test_the_process_says_when_the_next_night_is_and_leaves_nothing_behind(story: Story) -> None:
    assert re.search(
        r"Next night: 20\d\d-\d\d-\d\d \d\d:\d\d UTC, in 1 min \(cron '\* \* \* \* \*'\), of agents\.", story.out
    )
    assert "Prefect's server ended" in story.out
    assert left_of(story.project) == []
