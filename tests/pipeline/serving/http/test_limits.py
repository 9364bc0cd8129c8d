"""Limits over a real connection: too much is refused in the one form, and the service goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from small_service import ASKED, Shelf, Small, running, wait_until

from pipeline.runtime.tables import sha256_text
from pipeline.serving.engine.decision_journal import DECISIONS, entries
from pipeline.serving.engine.settings import ServeParams


@pytest.fixture
def narrow(request: pytest.FixtureRequest, two_routers: dict[str, Path], tmp_path: Path) -> Iterator[Small]:
    """A service that takes little at a time; a test that waits for the time limit shortens it."""
    seconds = getattr(request, "param", 30.0)
    params = ServeParams(max_body_bytes=2000, seconds_per_request=seconds, concurrent_requests=2)
    service = Small(Shelf(two_routers, pointing="1"), tmp_path, params)
    service.switch.poll()
    yield service
    service.close()


@pytest.fixture
def client(narrow: Small) -> Iterator[httpx.Client]:
    with running(narrow.app) as client:
        yield client


BRIEF = pytest.mark.parametrize("narrow", [0.3], indirect=True)


class Held:
    """The engine of a service, which waits until it is let go."""

    def __init__(self, service: Small, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.waiting = threading.Event(), threading.Semaphore(0)
        engine = service.switch.served.engine
        score = engine.score

        def later(prompts: list[str]) -> object:
            self.waiting.release()
            self.go.wait(30)
            return score(prompts)

        monkeypatch.setattr(engine, "score", later)


def test_a_body_that_is_too_large_is_refused_and_the_service_goes_on(client: httpx.Client) -> None:
    prompt = {"prompt": "a" * 10_000_000}
    response = client.post("/v1/route", json=prompt)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200


def test_a_body_is_counted_as_it_comes_not_as_it_is_announced(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(100):
            yield b"a" * 100
        yield b'"}'

    response = client.post("/v1/route", content=pieces(), headers={"Content-Type": "application/json"})
    assert response.request.headers["Transfer-Encoding"] == "chunked"
    assert response.status_code == 413
    exact = b'{"prompt": "' + b"a" * 1986 + b'"}'
    taken = client.post("/v1/route", content=exact, headers={"Content-Type": "application/json"})
    assert (len(exact), taken.status_code) == (2000, 200)


def test_more_requests_than_may_be_under_way_are_told_to_come_back(
    client: httpx.Client, narrow: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(narrow, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.post, "/v1/route", json={"prompt": f"mail number {n}"}) for n in range(2)]
        held.waiting.acquire()
        wait_until(lambda: "in_flight 3.0" in client.get("/metrics").text)
        refused = client.post("/v1/route", json={"prompt": ASKED})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert client.get("/healthz").status_code == 200, "probes are always answered"
        held.go.set()
        assert {future.result().status_code for future in asked} == {200}
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200


@BRIEF
def test_a_request_that_takes_too_long_ends(
    client: httpx.Client, narrow: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(narrow, monkeypatch)
    response = client.post("/v1/route", json={"prompt": "mail it"})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timed_out")
    held.go.set()
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200
    narrow.close()  # whatever was still computed is done
    assert [entry["prompt_sha256"] for entry in entries(narrow.folder / DECISIONS)] == [sha256_text(ASKED)]


@BRIEF
def test_a_body_that_never_comes_ends_too(client: httpx.Client, narrow: Small) -> None:
    place = urlsplit(str(client.base_url))
    with socket.create_connection((place.hostname or "", place.port or 0)) as slow:
        slow.sendall(b"POST /v1/route HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        slow.settimeout(20)
        assert slow.recv(12) == b"HTTP/1.1 504"
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200


def test_without_a_journal_nothing_is_routed(client: httpx.Client, narrow: Small) -> None:
    narrow.journal.folder = narrow.folder / "taken"
    narrow.journal.folder.write_text("a file where the folder should be")
    refused = client.post("/v1/route", json={"prompt": ASKED})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "journal_failed")
    assert "agents" not in refused.text
    unready = client.get("/readyz")
    assert (unready.status_code, unready.json()["error"]["code"]) == (503, "journal_failed")
    assert "switchtender_journal_failing 1.0" in client.get("/metrics").text
    narrow.journal.folder.unlink()
    wait_until(lambda: client.get("/readyz").status_code == 200)
    assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200


def test_before_a_version_is_loaded_it_lives_and_is_not_ready(two_routers: dict[str, Path], tmp_path: Path) -> None:
    service = Small(Shelf(two_routers), tmp_path)
    service.switch.poll()
    with running(service.app) as client:
        assert client.get("/healthz").status_code == 200
        for refused in (client.get("/readyz"), client.post("/v1/route", json={"prompt": ASKED})):
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
            assert refused.headers["X-Switchtender-Version"] == "none"
        assert "switchtender_ready 0.0" in client.get("/metrics").text
        service.source.pointing = "1"
        service.switch.poll()
        assert client.get("/readyz").status_code == 200
        assert "switchtender_ready 1.0" in client.get("/metrics").text
    service.close()
