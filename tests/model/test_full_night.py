"""The shipped project after its first night: what the README promises.

Heavy; tests/e2e/test_nights.py asks the same of the tiny project, but for what only the full training can reach: that
is asked of a router on frozen vectors in tests/model/test_behaviour.py.
"""

from __future__ import annotations

import json

import pytest
from sandbox import Sandbox

pytestmark = pytest.mark.heavy


# Fast twin: test_status_tells_version_aliases_gates_metrics_and_run_key.
def test_the_shipped_project_passes_its_own_gates(full_night: Sandbox) -> None:
    status = json.loads(full_night.run("status", "--json").stdout)
    assert {v["alias"]: v["version"] for v in status["versions"]} == {"champion": "1", "challenger": "1"}
    assert all(gate["verdict"] == "passed" for gate in status["last_night"]["gates"])


# Fast twin: test_a_request_for_two_agents_goes_to_both, test_route_names_every_agent_the_likeliest_first.
def test_a_request_for_two_agents_is_routed_to_both(full_night: Sandbox) -> None:
    done = full_night.run("route", "Translate this contract into German and email it to Ana", "--json")
    routed = json.loads(done.stdout)
    assert set(routed["agents"]) >= {"translation", "email"}
    assert list(routed["scores"])[:2] == sorted(routed["scores"], key=lambda name: -routed["scores"][name])[:2]
    assert len(routed["scores"]) == 20
    assert all(0 <= score <= 1 for score in routed["scores"].values())


# Fast twin: test_the_router_is_compared_with_both_baselines.
def test_the_fine_tuned_router_beats_both_baselines(full_night: Sandbox) -> None:
    path = next(full_night.root.glob("var/runs/*/clone/var/stages/evaluate/metrics.json"))
    report = json.loads(path.read_text())
    assert report["micro_f1_over"]["tfidf"]["low"] > 0
    assert report["micro_f1_over"]["linear"]["low"] > 0


# Fast twin: test_doctor_finds_nothing_missing.
def test_doctor_finds_nothing_missing(full_night: Sandbox) -> None:
    done = full_night.run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert {check["state"] for check in json.loads(done.stdout)} == {"ok"}
