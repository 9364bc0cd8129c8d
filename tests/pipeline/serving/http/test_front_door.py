"""What load balancers, proxies and people who only know the address ask first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.responses import RedirectResponse
from small_service import ASKED, Shelf, Small, running, wait_until

from pipeline.serving.engine.decision_journal import DECISIONS, entries
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.engine.log import refusals
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.access_log import QUIET
from pipeline.serving.http.app import application
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.http.page_mount import PageMount


def _logged(capfd: pytest.CaptureFixture[str], request_id: str) -> dict[str, Any]:
    """The log's line on a request, which is written after the answer has gone out."""
    lines: list[str] = []

    def found() -> bool:
        lines.extend(line for line in capfd.readouterr().err.splitlines() if f'"{request_id}"' in line)
        return bool(lines)

    wait_until(found)
    logged: dict[str, Any] = json.loads(lines[0])
    return logged


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/metrics", "/v1/agents", "/v1/version", "/openapi.json", "/v1/models", "/nowhere"],
)
def test_head_is_answered_as_get_is_without_a_body(
    client: httpx.Client, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    if path != "/metrics":  # it counts what was asked meanwhile
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
    if path not in QUIET and head.status_code == 200:
        logged = _logged(capfd, head.headers["X-Request-ID"])
        assert logged["method"] == "HEAD"
        assert logged["route"] == path or path == "/openapi.json"
    assert client.get("/healthz").status_code == 200, "the connection goes on"


def test_refusals_are_counted_and_those_that_are_answered_are_not(
    client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(40):
        client.get("/healthz")  # what was asked before is logged by now
    refusals.flush(at_once=True)
    capfd.readouterr()
    for number in range(40):
        assert client.get(f"/nowhere/{number}").status_code == 404
        assert client.request("X" * number or "X", "/v1/route").status_code == 405
        assert client.post("/v1/route", json={"prompt": ""}).status_code == 422
    answered = client.get("/v1/version").headers["X-Request-ID"]
    _logged(capfd, answered)
    refusals.flush(at_once=True)
    counts = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {(line["code"], line["more"]) for line in counts} == {
        ("not_found", 39), ("method_not_allowed", 39), ("invalid_request", 39),
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/route/", "/healthz/", "/v1/agents/", "/v1/feedback/", "//evil.example/v1"])
def test_a_slash_too_many_leads_nowhere_least_of_all_to_another_host(
    two_routers: dict[str, Path], tmp_path: Path, path: str
) -> None:
    (tmp_path / "people").write_text("ana ana-k8s7d6f5g4h3j2k1 route\n")
    service = Small(Shelf(two_routers, pointing="1"), tmp_path, keys=ApiKeys.read("file:people", tmp_path))
    headers = {"Host": "evil.example", "Authorization": "Bearer ana-k8s7d6f5g4h3j2k1"}
    with running(service.app) as client:
        for method in ("GET", "POST"):
            answered = client.request(method, f"{client.base_url}{path}", headers=headers)
            assert (answered.status_code, answered.json()["error"]["code"]) == (404, "not_found")
            assert "Location" not in answered.headers
    service.close()


def test_no_redirect_whoever_makes_it_leads_to_another_host(small: Small) -> None:
    app = application(small.switch, small.params, ApiKeys({}), small.journal, routing=small.routing)
    for name, place in (("whole", "http://evil.example//evil.example/a?b#c"), ("near", "./a"), ("path", "/a?b")):
        app.add_api_route(f"/{name}", lambda place=place: RedirectResponse(place))
    app.router.routes.reverse()
    with running(app) as client:
        found = [client.get(f"/{name}").headers["Location"] for name in ("whole", "near", "path")]
    assert found == ["/evil.example/a?b#c", "./a", "/a?b"]


def test_head_of_what_takes_a_body_is_refused(client: httpx.Client) -> None:
    assert client.head("/v1/route").status_code == 405


def test_the_root_leads_on(client: httpx.Client, small: Small) -> None:
    places = client.get("/").json()
    assert places["service"] == "switchtender"
    assert "chat" not in places
    for place in (place for name, place in places.items() if name != "service"):
        method, path = place.split()
        assert client.request(method, path, json={"prompt": "a"}).status_code in (200, 422), place
    switch: VersionSwitch = small.switch
    with_page = application(switch, small.params, ApiKeys({}), small.journal, routing=small.routing, page=PageMount())
    with running(with_page) as client:
        for answer in (client.get("/"), client.head("/")):
            assert (answer.status_code, answer.headers["Location"]) == (307, "/ui/")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/a/b")]
)
def test_chats_without_upstreams_say_what_to_configure(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path, json={"messages": [{"role": "user", "content": "a"}]})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (404, "no_upstreams", "invalid_request_error")
    assert "serve.upstreams" in error["hint"]
    assert client.get("/v1/chat/other").json()["error"]["code"] == "not_found"


SOUND = ["a", "7f3c-11", "Root=1-67891233-abcdef012345678912345678", "req:42/7+x@eu", "A" * 128, "0" * 32]
UNSOUND = ["", "A" * 129, "two words", "=1+1", "-x", "a,b", "a\tb", "\u00fcber", "<b>", "a;b", '"a"']


@pytest.mark.parametrize("given", SOUND)
def test_a_callers_own_id_is_kept_everywhere(
    client: httpx.Client, small: Small, given: str, capfd: pytest.CaptureFixture[str]
) -> None:
    response = client.post("/v1/route", json={"prompt": ASKED}, headers={"X-Request-ID": given})
    assert response.json()["request_id"] == response.headers["X-Request-ID"] == given
    assert given in {entry["request_id"] for entry in entries(small.folder / DECISIONS)}
    assert _logged(capfd, given)["route"] == "/v1/route"
    judged = client.post("/v1/feedback", json={"request_id": given, "accepted": True}, headers={"X-Request-ID": given})
    assert (judged.status_code, judged.json()["matched"]) == (202, True)
    refused = client.post("/v1/route", json={}, headers={"X-Request-ID": given})
    assert refused.json()["error"]["request_id"] == given


@pytest.mark.parametrize("given", UNSOUND)
def test_an_id_that_is_not_sound_is_replaced(client: httpx.Client, given: str) -> None:
    answered = client.get("/healthz", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert len(answered.headers["X-Request-ID"]) == 32


def test_of_two_ids_none_is_taken(client: httpx.Client) -> None:
    answered = client.get("/healthz", headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])
    assert len(answered.headers["X-Request-ID"]) == 32


def test_a_chat_may_be_larger_than_what_is_routed(two_routers: dict[str, Path], tmp_path: Path) -> None:
    params = ServeParams(max_body_bytes=1000, max_chat_body_bytes=3000)
    service = Small(Shelf(two_routers, pointing="1"), tmp_path, params)
    service.switch.poll()
    with running(service.app) as client:
        statuses = {
            (path, size): client.post(path, content=b'"' + b"a" * (size - 2) + b'"').status_code
            for path in ("/v1/route", "/v1/chat/completions")
            for size in (1000, 1001, 3000, 3001)
        }
        refused = client.post("/v1/chat/completions", content=b"a" * 3001).json()["error"]
    service.close()
    assert [size for (path, size), status in statuses.items() if path == "/v1/route" and status != 413] == [1000]
    assert [size for (path, size), status in statuses.items() if "chat" in path and status != 413] == [1000, 1001, 3000]
    assert "serve.max_chat_body_bytes" in refused["hint"]
    assert refused["type"] == "invalid_request_error"
    photo = 4 * -(-2_000_000 // 3)
    assert ServeParams().max_chat_body_bytes > photo > ServeParams().max_body_bytes
