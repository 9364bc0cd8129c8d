"""prefect.yaml and the schedule's own deployments, on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.night.params import nightly_params
from flows.workspace.project import Project

ROOT = Path(__file__).resolve().parents[3]


def asked(api: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


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


def test_the_schedule_offers_what_the_file_offers() -> None:
    from flows.schedule.calendar import Calendar
    from flows.schedule.deployments import deployments

    offered = {f"{one.flow_name}/{one.name}" for one in deployments(Calendar("0 3 * * *", "UTC"))}
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert len(offered) == len(written) == 6
    assert all(one.entrypoint.startswith("flows.") for one in deployments(None))
