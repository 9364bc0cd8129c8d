"""Swaps under load: no request fails, and every answer is that of the version that it names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from small_service import ASKED, Shelf, Small, running, wait_until

from pipeline.serving.engine.decision_journal import DECISIONS, entries
from pipeline.serving.engine.engine import Engine

FIRST = {"1": "translation", "2": "sql"}


@pytest.fixture
def service(shelf: Shelf, tmp_path: Any) -> Iterator[Small]:
    service = Small(shelf, tmp_path / "journal")
    service.switch.start()
    yield service
    service.close()


def test_requests_run_through_swaps_and_a_tampered_version(shelf: Shelf, service: Small) -> None:
    answers: list[tuple[int, dict[str, Any], str]] = []
    stop = threading.Event()

    def ask(client: httpx.Client, number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            response = client.post("/v1/route", json={"prompts": [ASKED, f"mail {number} {count}"]})
            answers.append((response.status_code, response.json(), response.headers["X-Switchtender-Version"]))

    with running(service.app) as client, ThreadPoolExecutor(4) as pool:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        asking = [pool.submit(ask, client, number) for number in range(4)]
        try:
            for version in ("2", "1", "2", "1"):
                shelf.pointing = version
                wait_until(lambda version=version: shelf.noted[-1] == version)
                enough = len(answers) + 8
                wait_until(lambda enough=enough: len(answers) > enough)
            path = shelf.folders["2"] / "router.json"
            path.write_bytes(path.read_bytes() + b"\n")
            shelf.pointing = "2"
            wait_until(lambda: client.get("/readyz").json()["degraded"])
            told = client.get("/readyz").json(), client.get("/v1/version").json(), client.get("/metrics").text
            before = len(answers)
            wait_until(lambda: len(answers) > before + 20)
        finally:
            stop.set()
        for future in asking:
            future.result()
    assert {status for status, _, _ in answers} == {200}
    for _, answer, header in answers:
        assert answer["version"] == header
        for result in answer["results"]:
            assert next(iter(result["scores"])) == FIRST[answer["version"]]
    assert {answer["version"] for _, answer, _ in answers[before:]} == {"1"}, "never by the tampered version"
    assert "router.json is changed" in told[0]["reason"]
    assert (told[1]["version"], told[1]["refused"]["version"]) == ("1", "2")
    assert 'switchtender_version_refused{version="2"} 1.0' in told[2]
    written = {(e["request_id"], e["index"]) for e in entries(service.folder / DECISIONS)}
    assert {(a["request_id"], i) for _, a, _ in answers for i in (0, 1)} == written


def test_a_request_under_way_finishes_on_the_version_that_it_began_with(
    shelf: Shelf, service: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, waiting = threading.Event(), threading.Event()
    wait_until(lambda: shelf.noted == ["1"])
    old: Engine = service.switch.served.engine
    score = old.score

    def later(prompts: list[str]) -> object:
        waiting.set()
        go.wait(30)
        return score(prompts)

    monkeypatch.setattr(old, "score", later)
    with running(service.app) as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.post, "/v1/route", json={"prompt": ASKED})
        assert waiting.wait(30)
        shelf.pointing = "2"
        wait_until(lambda: shelf.noted == ["1", "2"])
        assert client.post("/v1/route", json={"prompt": ASKED}).json()["version"] == "2"
        go.set()
        assert asked.result().json()["version"] == "1"
        assert asked.result().headers["X-Switchtender-Version"] == "1"


def test_ending_answers_what_is_under_way_and_writes_it_down(
    shelf: Shelf, service: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, waiting = threading.Event(), threading.Event()
    wait_until(lambda: shelf.noted == ["1"])
    engine = service.switch.served.engine
    score = engine.score

    def later(prompts: list[str]) -> object:
        waiting.set()
        go.wait(30)
        return score(prompts)

    monkeypatch.setattr(engine, "score", later)
    with ThreadPoolExecutor(1) as pool:
        with running(service.app) as client:
            asked = pool.submit(httpx.post, f"{client.base_url}/v1/route", json={"prompt": ASKED}, timeout=30)
            assert waiting.wait(30)
            threading.Timer(0.1, go.set).start()
        assert asked.result().status_code == 200
    (entry,) = entries(service.folder / DECISIONS)
    assert entry["request_id"] == asked.result().json()["request_id"]
