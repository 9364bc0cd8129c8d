"""Who gets in: keys where there are any, and without keys nobody who comes through a foreign web page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from small_service import ASKED, Shelf, Small, running

from pipeline.serving.engine.decision_journal import DECISIONS, entries
from pipeline.serving.http.auth import ApiKeys

ANA, BOB = "ana-secret-of-length-24x", "bob-secret-of-length-24x"


@pytest.fixture(scope="module")
def guarded(
    two_routers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Small, httpx.Client]]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys.txt").write_text(f"ana {ANA} route\nbob {BOB} promote\n")
    service = Small(Shelf(two_routers, pointing="1"), folder, keys=ApiKeys.read("file:keys.txt", folder))
    service.switch.poll()
    with running(service.app) as client:
        yield service, client
    service.close()


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {ANA}"}, {"X-API-Key": ANA}, {"authorization": f"bearer {ANA}"}]
)
def test_a_known_key_routes_and_its_name_is_written_down(
    guarded: tuple[Small, httpx.Client], headers: dict[str, str]
) -> None:
    service, client = guarded
    response = client.post("/v1/route", json={"prompt": ASKED}, headers=headers)
    assert response.status_code == 200
    entry = list(entries(service.folder / DECISIONS))[-1]
    assert (entry["request_id"], entry["asked_by"]) == (response.headers["X-Request-ID"], "ana")
    client.post("/v1/feedback", json={"request_id": entry["request_id"], "accepted": True}, headers=headers)
    assert json.loads((service.folder / "feedback.jsonl").read_text().splitlines()[-1])["by"] == "ana"
    assert ANA not in "".join(path.read_text() for path in service.folder.glob("*.jsonl"))


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": ""}, {"X-API-Key": ANA + "x"}, {"Authorization": ANA}, {"Authorization": f"Basic {ANA}"}],
)
def test_without_a_known_key_nothing_is_read(guarded: tuple[Small, httpx.Client], headers: dict[str, str]) -> None:
    _, client = guarded
    for refused in (
        client.post("/v1/route", content=b"{not json", headers=headers),
        client.get("/v1/version", headers=headers),
        client.get("/v1/no-such-path", headers=headers),
        client.get("/metrics", headers=headers),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_needed")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert refused.headers["X-Request-ID"]


def test_a_key_without_the_right_is_told_so(guarded: tuple[Small, httpx.Client]) -> None:
    _, client = guarded
    bob = {"X-API-Key": BOB}
    refused = client.post("/v1/route", json={"prompt": ASKED}, headers=bob)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
    assert client.get("/metrics", headers=bob).status_code == 200


def test_probes_need_no_key(guarded: tuple[Small, httpx.Client]) -> None:
    _, client = guarded
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_with_keys_any_name_of_the_machine_is_answered(guarded: tuple[Small, httpx.Client]) -> None:
    _, client = guarded
    headers = {"X-API-Key": ANA, "Host": "router.example.org", "Origin": "https://router.example.org"}
    assert client.post("/v1/route", json={"prompt": ASKED}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:8400", "Origin": "http://localhost:8400"}, 200),
        ({"Host": "localhost:8400", "Origin": "http://localhost:9999"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_without_keys_no_foreign_page_speaks_for_whoever_sits_here(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert client.post("/v1/route", json={"prompt": ASKED}, headers=headers).status_code == status
