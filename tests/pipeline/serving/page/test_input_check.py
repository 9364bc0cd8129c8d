"""What no control of the page sends, sent all the same: a notice, and never a failure with a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from small_service import ASKED, Shelf

from pipeline.runtime.track import AGENTS
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page import mount
from pipeline.serving.page.context import TrackView

CONTROLS = ["prompt", "policy", "threshold", "budget"]
SOUND = {"prompt": ASKED, "policy": "stored", "threshold": 0.5, "budget": 0.02}


class NoTexts:
    """The one action that the tab Route asks."""

    def texts(self, version: str, prompt_ids: object) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module")
def page(two_routers: dict[str, Path]) -> Iterator[TestClient]:
    switch, app, actions = VersionSwitch(Shelf(two_routers, pointing="1"), ServeParams()), FastAPI(), NoTexts()
    switch.poll()
    mount(app, [TrackView(AGENTS, switch, actions)], ApiKeys({}))  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8400", raise_server_exceptions=False) as client:
        yield client


def event_of(page: TestClient, controls: list[str]) -> int:
    """The number of the first event that sends these controls' values."""
    config = page.get("/ui/config").json()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    found = next(e for e in config["dependencies"] if [names[each] for each in e["inputs"]] == controls)
    return int(found["id"])


def send(page: TestClient, event: int, values: list[Any]) -> Any:
    body = json.dumps({"fn_index": event, "data": values, "session_hash": "s"})  # NaN and Infinity as they are
    return page.post("/ui/gradio_api/run/predict", content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "changed",
    [
        *({"policy": "budget", "budget": value} for value in (
            0.3, -1, 1e308, float("inf"), -float("inf"), float("nan"), 10**400, "abc", "", None, [1], {"a": 1}, True)),
        *({"policy": "one threshold", "threshold": value} for value in (2, -0.1, float("nan"), "abc", None)),
        *({"policy": value} for value in ("cheapest", None, ["best"], 3)),
        *({"prompt": value} for value in (["a", "b"], 5, {"path": "/x"}, "a\0", "a\ud800", "", None)),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_told_in_the_notice(
    page: TestClient, changed: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    event = event_of(page, CONTROLS)
    sent = SOUND | changed
    answer = send(page, event, [sent[name] for name in CONTROLS])
    assert answer.status_code == 200
    notice = answer.json()["data"][-1]
    assert 'class="notice bad"' in notice
    assert len(notice) < 500
    assert "Traceback" not in capfd.readouterr().err
    assert "chip chosen" in send(page, event, list(SOUND.values())).json()["data"][0], "the page goes on"


def test_too_few_values_are_told_too(page: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    answer = send(page, event_of(page, CONTROLS), ["a prompt that the log must not hold"])
    assert (answer.status_code, "load the page again" in answer.text) == (200, True)
    assert capfd.readouterr().err == ""
