"""prefect.yaml and the schedule's own deployments, on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from flows.night.params import nightly_params
from flows.night.prefect_server import is_healthy
from flows.schedule import process, state
from flows.schedule.calendar import Calendar
from flows.schedule.prefect_runs import crash_left_behind, require_no_other, start_night
from flows.schedule.process import take_up_missed
from flows.schedule.state import TAG, own_mark
from flows.workspace.night_log import logged
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError

SPRING = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def asked(api: str, path: str, body: dict[str, Any]) -> Any:
    """What the server answers; it says 503 where its database is busy, and then it is asked again."""
    request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    for _ in range(5):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(2)
    raise AssertionError(f"{path}: the server stays busy")


@pytest.fixture(scope="module")
def deployed(prefect_address: str) -> dict[str, dict[str, Any]]:
    """Every deployment of prefect.yaml, by flow and name, as `prefect deploy --all` made it."""
    env = {**os.environ, "PREFECT_API_URL": prefect_address}
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for command in (["work-pool", "create", "switchtender", "--type", "process"], ["deploy", "--all"]):
        done = subprocess.run([*prefect, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    flows = {flow["id"]: flow["name"] for flow in asked(prefect_address, "flows/filter", {})}
    found = asked(prefect_address, "deployments/filter", {"work_pools": {"name": {"any_": ["switchtender"]}}})
    return {f"{flows[one['flow_id']]}/{one['name']}": one for one in found}


def test_every_flow_is_deployed_to_the_pool(deployed: dict[str, dict[str, Any]]) -> None:
    flows = ["audit", "backfill", "promote", "rollback", "verify"]
    assert sorted(deployed) == sorted(["night/nightly", *(f"{flow}/by-hand" for flow in flows)])
    assert all(one["tags"] == ["switchtender"] for one in deployed.values())
    alone = {name for name, one in deployed.items() if (one["global_concurrency_limit"] or {}).get("limit") == 1}
    assert alone == {"night/nightly", "backfill/by-hand"}


def test_a_night_has_the_schedule_of_the_params(deployed: dict[str, dict[str, Any]]) -> None:
    params = nightly_params(Project(ROOT))
    (schedule,) = deployed["night/nightly"]["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == (params.cron, params.timezone)


def test_forms_know_the_types(deployed: dict[str, dict[str, Any]]) -> None:
    definitions = deployed["night/nightly"]["parameter_openapi_schema"]["definitions"]
    assert definitions["NightRequest"]["properties"]["tracks"]["items"]["enum"] == ["agents", "models"]
    scheduled = deployed["backfill/by-hand"]["parameter_openapi_schema"]["definitions"]["BackfillRequest"]
    assert scheduled["properties"]["scheduled"]["format"] == "date-time"
    version = deployed["promote/by-hand"]["parameter_openapi_schema"]["properties"]["version"]
    assert (version["type"], version["minimum"]) == ("integer", 1)


@pytest.fixture
def projects(tmp_path: Path) -> list[Project]:
    """A project whose schedule began in the spring."""
    project = Project(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(
        text.replace("tracks: [agents, models]", "tracks: [agents]"), encoding="utf-8"
    )
    state.begin(project, Calendar("0 3 * * *", "UTC"), SPRING)
    return [project]


def test_a_missed_date_is_asked_for_once_an_attempt(
    deployed: dict[str, dict[str, Any]], prefect_address: str, projects: list[Project]
) -> None:
    told: list[str] = []
    now = SPRING + timedelta(days=3)
    for attempts in (1, 1, 2, 3):
        if attempts == 3:
            now += timedelta(hours=1)
        if attempts == 2:
            with pytest.raises(KeyboardInterrupt), logged(projects[0], "2026-05-04T03:00:00+00:00"):
                raise KeyboardInterrupt
        take_up_missed(prefect_address, projects[0], now, told.append)
        runs = asked(prefect_address, "flow_runs/filter", {"flow_runs": {"tags": {"all_": ["switchtender"]}}})
        late = [one for one in runs if (one["parameters"].get("request") or {}).get("scheduled")]
        assert {one["parameters"]["request"]["scheduled"] for one in late} == {"2026-05-04T03:00:00+00:00"}
        assert len(late) == attempts
    assert told == []


def test_a_run_without_a_process_holds_no_place_and_one_with_it_keeps_its_own(
    deployed: dict[str, dict[str, Any]],
    prefect_address: str,
    projects: list[Project],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flow run's process that ends while the server is gone cannot say so: its run stays pending for good."""
    pending = {"state": {"type": "PENDING", "name": "Submitting"}, "force": True}
    runs = [_asked_for(prefect_address, deployed["night/nightly"], pending) for _ in range(2)]
    alive = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], "PREFECT__FLOW_RUN_ID": runs[0]})
    _tag(prefect_address, deployed["night/nightly"], [TAG, own_mark(projects[0])])
    try:
        take_up_missed(prefect_address, projects[0], SPRING + timedelta(days=9), print)
        assert [_state_of(prefect_address, run) for run in runs] == ["PENDING"] * 2, "they may be about to begin"
        monkeypatch.setattr(process, "_GRACE", timedelta())
        take_up_missed(prefect_address, projects[0], SPRING + timedelta(days=9), print)
    finally:
        alive.kill()
        _tag(prefect_address, deployed["night/nightly"], [TAG])
    assert [_state_of(prefect_address, run) for run in runs] == ["PENDING", "CRASHED"]
    assert crash_left_behind(prefect_address, TAG) == 1


def test_a_server_that_is_gone_is_asked_again_later(projects: list[Project]) -> None:
    told: list[str] = []
    take_up_missed("http://127.0.0.1:9/api", projects[0], SPRING + timedelta(days=3), told.append)
    assert len(told) == 1
    assert "not taken up yet: Prefect's server does not answer" in told[0]


def test_what_a_killed_schedule_left_running_is_ended(
    deployed: dict[str, dict[str, Any]], prefect_address: str
) -> None:
    running = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
    run = _asked_for(prefect_address, deployed["night/nightly"], running)
    assert [crash_left_behind(prefect_address, mark) for mark in ("folder:/else", TAG, TAG)] == [0, 1, 0]
    assert _state_of(prefect_address, run) == "CRASHED"


def _asked_for(api: str, deployment: dict[str, Any], state: dict[str, Any]) -> str:
    """A new flow run of a deployment, in a state."""
    run = str(asked(api, f"deployments/{deployment['id']}/create_flow_run", {})["id"])
    asked(api, f"flow_runs/{run}/set_state", state)
    return run


def _state_of(api: str, run: str) -> str:
    (found,) = asked(api, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    return str(found["state"]["type"])


def test_a_server_that_runs_nights_of_another_project_is_refused(
    deployed: dict[str, dict[str, Any]], prefect_address: str
) -> None:
    with pytest.raises(
        InputError, match=r"night/nightly of another schedule \(tags: switchtender\); use another server"
    ):
        require_no_other(prefect_address, "folder:/mine")
    require_no_other(prefect_address, TAG)
    _tag(prefect_address, deployed["night/nightly"], [TAG, "folder:/theirs"])
    try:
        with pytest.raises(InputError, match=r"another schedule \(tags: switchtender, folder:/theirs\)"):
            start_night(prefect_address, [], mark="folder:/mine")
    finally:
        _tag(prefect_address, deployed["night/nightly"], [TAG])


def _tag(api: str, deployment: dict[str, Any], tags: list[str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentUpdate

    with SyncPrefectClient(api) as client:
        client.update_deployment(UUID(deployment["id"]), DeploymentUpdate(tags=tags))


@pytest.mark.parametrize("api", ["http://127.0.0.1:9/api", "nonsense", "http://[bad/api"])
def test_a_server_that_does_not_answer_is_told(api: str) -> None:
    with pytest.raises(SwitchtenderError, match=r"Prefect's server does not answer .* see PREFECT_API_URL"):
        require_no_other(api, TAG)
    assert not is_healthy(api)


def test_the_schedule_offers_what_the_file_offers() -> None:
    from flows.schedule.deployments import deployments

    offered = {f"{one.flow_name}/{one.name}" for one in deployments(Calendar("0 3 * * *", "UTC"))}
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert len(offered) == len(written) == 6
    assert all(one.entrypoint.startswith("flows.") for one in deployments(None))


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("2026-05-02T03:00", ""),  # in the schedule's zone
        ("2026-05-02T01:00+00:00", ""),
        ("2026-05-02T03:30", r"has no night at 2026-05-02 03:30:00\+02:00; the one before is 2026-05-02 03:00 CEST"),
        ("0001-01-01T00:00", "has no night at 0001-01-01"),
        ("9999-12-31T23:59-12:00", "is still to come; start a night without a date"),
    ],
)
def test_a_date_in_a_form_is_one_of_the_schedule_or_refused(
    date: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.schedule import deployments

    asked: list[str] = []
    monkeypatch.setattr(deployments, "_project", lambda: Project(tmp_path))
    monkeypatch.setattr(deployments, "attempt", lambda projects, scheduled: asked.append(scheduled) or [])
    monkeypatch.setattr(deployments, "pass_over", lambda *_: "")
    monkeypatch.setattr(deployments, "_state", lambda _: None)
    state.begin(Project(tmp_path), Calendar("0 3 * * *", "Europe/Berlin"), SPRING)
    request = deployments.NightRequest(scheduled=datetime.fromisoformat(date), tracks=["agents"])
    if said:
        with pytest.raises(InputError, match=said):
            deployments.night.fn(request)
    else:
        deployments.night.fn(request)
    assert asked == ([] if said else ["2026-05-02T01:00:00+00:00"])


def test_a_track_that_is_named_twice_has_one_night(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.schedule import deployments

    monkeypatch.setattr(deployments, "_project", lambda: Project(ROOT))
    assert [one.track.name for one in deployments._projects(["models", "agents", "models"])] == ["models", "agents"]


class Heard(BaseHTTPRequestHandler):
    """What reached a webhook, kept by the server that it belongs to."""

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Heard) as server:
        server.heard = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_prefects_own_automation_tells_of_a_closed_gate(
    deployed: dict[str, dict[str, Any]], prefect_address: str, webhook: HTTPServer
) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import PrefectClient

    from flows.schedule.automations import NAME, tell_of_failed_runs

    async def automated() -> None:
        async with PrefectClient(prefect_address) as client:
            block = CustomWebhookNotificationBlock(
                name="duty", url=f"http://127.0.0.1:{webhook.server_port}/", json_data={"said": "{{subject}}: {{body}}"}
            )
            await block.save("duty", client=client)
            for _ in range(2):
                await tell_of_failed_runs(client, "custom-webhook/duty")
            assert len(await client.read_automations_by_name(NAME)) == 1
            with pytest.raises(InputError, match="has no block 'custom-webhook/nobody'"):
                await tell_of_failed_runs(client, "custom-webhook/nobody")

    asyncio.run(automated())
    one = asked(prefect_address, f"deployments/{deployed['night/nightly']['id']}/create_flow_run", {})
    state = {"type": "FAILED", "name": "Gate closed", "message": "micro_f1 is below its floor"}
    asked(prefect_address, f"flow_runs/{one['id']}/set_state", {"state": state, "force": True})
    deadline = time.monotonic() + 60
    heard: list[dict[str, str]] = webhook.heard  # type: ignore[attr-defined]
    while not heard and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "night Gate closed" in heard[0]["said"]
    assert "micro_f1 is below its floor" in heard[0]["said"]
