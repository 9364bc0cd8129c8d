"""What the mounted page lets in: nothing from another site, no files, nobody without a key, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from pipeline.runtime.track import AGENTS, MODELS
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.http.limits import ConcurrencyLimit
from pipeline.serving.page import mount
from pipeline.serving.page.context import TrackView
from pipeline.serving.page.security_headers import SecurityHeaders, same_origin


class Nothing:
    """A version source with no version, and actions that nobody asks."""

    def current(self) -> None:
        return None


@pytest.fixture(scope="module")
def page() -> Iterator[TestClient]:
    """The page without keys."""
    with _client(ApiKeys({})) as client:
        yield client


def _client(keys: ApiKeys) -> TestClient:
    app = FastAPI(openapi_url=None)
    nothing: Any = Nothing()
    mount(app, [TrackView(track, VersionSwitch(nothing, ServeParams()), nothing) for track in (AGENTS, MODELS)], keys)
    return TestClient(app, base_url="http://127.0.0.1:8400")


def look_at_header(client: TestClient, **headers: str) -> Any:
    """Ask what the page asks first."""
    return client.post(
        "/ui/gradio_api/run/predict", json={"fn_index": 0, "data": [], "session_hash": "s"}, headers=headers
    )


def test_the_page_is_there_and_names_no_other_machine(page: TestClient) -> None:
    answer = page.get("/ui/")
    assert answer.status_code == 200
    addresses = set(re.findall(r"""(?:src|href)=["'](https?://[^"']+)""", answer.text))
    assert {address for address in addresses if not address.startswith("http://127.0.0.1")} == set()
    styles = page.get("/ui/theme.css").text
    assert not re.search(r"""url\(["']?https?:|@import""", styles)
    assert page.get("/ui/config").json()["stylesheets"] == [], "a font from elsewhere"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_it_keeps_no_connection_open_and_offers_no_interface(page: TestClient) -> None:
    config = page.get("/ui/config").json()
    assert config["connect_heartbeat"] is False
    assert config["analytics_enabled"] is False
    assert {event["api_visibility"] for event in config["dependencies"]} == {"private"}
    assert {event["queue"] for event in config["dependencies"]} <= {False}


def test_of_all_that_gradio_offers_only_what_the_page_asks_for_is_open(page: TestClient) -> None:
    """Streams without end, files, a public interface: whatever another release of Gradio adds is closed, too."""
    app: Any = page.app
    (gradio,) = (route.app for route in app.routes if isinstance(route, Mount))
    paths = set(_paths_of(gradio.routes))
    assert {"/gradio_api/heartbeat/x", "/gradio_api/queue/data", "/gradio_api/dev/reload"} <= paths
    # Before an application that answers everything: a stream without end would end no test.
    before = TestClient(SecurityHeaders(PlainTextResponse("open"), "/ui"))
    for method in ("GET", "POST", "HEAD"):
        opened = {path for path in paths if before.request(method, f"/ui{path}").status_code == 200}
        assert opened <= {
            "", "/", "/config", "/theme.css", "/logout", "/models", "/assets/x", "/static/x", "/gradio_api/run/predict"
        }  # fmt: skip
    assert page.get("/ui/gradio_api/openapi.json").status_code == 404, "and so it stands before the page"


@pytest.mark.parametrize("path", ["", "/", "/models/", "/config/", "/theme.css/", "/gradio_api/run/predict/"])
def test_no_answer_leads_to_another_host(page: TestClient, path: str) -> None:
    answer = page.get(f"/ui{path}", headers={"Host": "evil.example"}, follow_redirects=False)
    assert "evil" not in answer.headers.get("Location", "")


def test_a_visitor_has_so_many_requests_under_way_and_all_together_so_many() -> None:
    held, answered = asyncio.Event(), list[tuple[str, int]]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await held.wait()
        await PlainTextResponse("")(scope, receive, send)

    async def ask(limit: ConcurrencyLimit, visitor: str, host: str) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append((visitor or host, message["status"]))

        state = {"visitor": visitor} if visitor else {}
        await limit({"type": "http", "path": "/ui/", "state": state, "client": (host, 1)}, _nothing, send)

    async def all_of_them() -> None:
        limit = ConcurrencyLimit(app, "/ui", requests=5, each=2)
        asking = [("ana", "1.1.1.1")] * 3 + [("ben", "1.1.1.1")] * 2 + [("", "2.2.2.2")] * 2
        tasks = [asyncio.create_task(ask(limit, *one)) for one in asking]
        await asyncio.sleep(0)
        assert answered == [("ana", 429), ("2.2.2.2", 429)]
        held.set()
        await asyncio.gather(*tasks)
        assert not limit.inside
        await ask(limit, "ana", "1.1.1.1")
        assert answered[-1] == ("ana", 200)

    asyncio.run(all_of_them())


async def _nothing() -> Message:
    return {"type": "http.request", "body": b""}


def _paths_of(routes: Sequence[Any]) -> Iterator[str]:
    """Every path below an application's routes, with `x` for each parameter."""
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from _paths_of(included.routes)
        else:
            yield re.sub(r"{[^}]*}", "x", route.path)


def test_a_page_of_another_site_is_not_answered(page: TestClient) -> None:
    assert look_at_header(page).status_code == 200
    assert look_at_header(page, Origin="http://127.0.0.1:8400").status_code == 200
    assert look_at_header(page, Origin="http://elsewhere.example").status_code == 403
    assert look_at_header(page, Origin="null").status_code == 403


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"host": "a:1"}, True),
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "https://a:1"}, True),
        ({"host": "a:1", "origin": "http://a:2"}, False),
        ({"host": "a:1", "origin": "http://a:1.evil.example"}, False),
        ({"host": "inside:1", "x-forwarded-host": "router.example", "origin": "https://router.example"}, True),
        ({"host": "a:1", "origin": ""}, False),
        ({"host": "a:1", "origin": "http://["}, False),
    ],
)
def test_same_origin(headers: dict[str, str], same: bool) -> None:
    assert same_origin(Headers(headers)) is same


def test_a_large_body_is_refused(page: TestClient) -> None:
    answer = page.post("/ui/gradio_api/run/predict", content=b"x" * 1_000_001)
    assert answer.status_code == 413


def test_reports_are_behind_addresses_that_were_handed_out(page: TestClient) -> None:
    for path in ("/ui/report/1", "/ui/report/1/nightly-1/report.html", "/ui/report/1/nightly-1/../../keys"):
        assert page.get(path).status_code == 404


def test_with_keys_only_a_person_with_the_key_gets_in(tmp_path: Any) -> None:
    key = "ana-k8s7d6f5g4h3j2k1"
    (tmp_path / "people").write_text(f"ana {key} route\n")
    with _client(ApiKeys.read("file:people", tmp_path)) as client:
        for path in ("/ui/", "/ui/models", "/ui/config", "/ui/report/1", "/ui/report/1/nightly-1/report.html"):
            assert client.get(path).status_code == 401
        assert look_at_header(client).status_code == 401
        assert client.post("/ui/models", data={"name": "ana", "key": key}).status_code == 200
        assert "ana" in look_at_header(client).json()["data"][0]
