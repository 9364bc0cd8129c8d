"""The parts put together as `switchtender serve` does: settings, folders, chats that are written down, the page."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from small_service import AGENTS, ASKED, Shelf, running, wait_until
from stub_upstreams import stub_upstreams

from flows.service.serve import Service, StartupLines, listen
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.track import AGENTS as AGENTS_TRACK
from pipeline.runtime.track import MODELS, Track
from pipeline.serving.engine.decision_journal import DECISIONS, FORWARDED, entries
from pipeline.serving.engine.hot_swap import FolderSource, NotReady, VersionSwitch
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.page_mount import FAILED, LOADING, PageLayer, PageMount
from pipeline.versions.key_at_hand import PUBLIC_KEY
from pipeline.versions.signing import Signer, SigningParams, make_key


def test_small_answers_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off (40 ms a request) only on sockets whose protocol is said to be TCP."""
    with listen(ServeParams(port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_folder_that_was_changed_since_the_start_is_not_loaded(two_routers: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(two_routers["1"], tmp_path / "router"))
    switch = VersionSwitch(FolderSource(folder), ServeParams())
    (folder / "more.json").write_text("{}")
    switch.poll()
    with pytest.raises(NotReady, match="changed since the service started"):
        _ = switch.served
    with pytest.raises(InputError, match="holds no router"):
        FolderSource(tmp_path)


@pytest.fixture
def chatting(two_routers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service each of whose candidates has an upstream; that of the first choice is down."""
    monkeypatch.setenv("STUB_KEY", "not-so-secret")
    with stub_upstreams() as stub:
        kinds = dict(zip(AGENTS, ("500", "ok", "ok"), strict=True))
        lines = [
            f"{n}: {{model: openai/stub, api_base: '{stub.base(k)}', api_key_env: STUB_KEY}}" for n, k in kinds.items()
        ]
        (tmp_path / "upstreams.yaml").write_text("\n".join(lines))
        params = ServeParams(page=False, upstreams="upstreams.yaml", max_prompt_characters=1000)
        service = Service(FolderSource(two_routers["1"]), params, tmp_path)
        service.switch.poll()
        yield service
        asyncio.run(service._end())


def test_a_chat_is_decided_and_written_down_as_every_prompt_is(chatting: Service, tmp_path: Path) -> None:
    body = {"model": "switchtender", "messages": [{"role": "user", "content": "put this text into french"}]}
    with running(chatting.app) as client:
        response = client.post("/v1/chat/completions", json=body)
        long = {**body, "messages": [{"role": "user", "content": "a" * 1001}]}
        refused = client.post("/v1/chat/completions", json=long)
        metrics = client.get("/metrics").text
    assert response.status_code == 200, response.text
    assert response.headers["X-Switchtender-Version"] == "folder"
    assert (refused.status_code, "1001 characters" in refused.text) == (400, True)
    journal = tmp_path / "var" / "serving"
    (decision,) = entries(journal / DECISIONS)
    (forwarded,) = entries(journal / FORWARDED)
    assert (decision["of"], decision["chosen"]) == ("chat", ["translation"])
    assert decision["request_id"] == forwarded["request_id"] == response.headers["X-Request-ID"]
    assert forwarded["tried"] == [{"candidate": "translation", "reason": "500"}]
    assert forwarded["candidate"] == response.headers["X-Switchtender-Candidate"] != "translation"
    assert 'switchtender_requests_total{route="/v1/chat/completions",status="200"} 1.0' in metrics
    assert "not-so-secret" not in response.text + refused.text + metrics
    assert not [path for path in journal.rglob("*") if path.is_file() and b"not-so-secret" in path.read_bytes()]


def test_a_chat_that_is_labelled_goes_only_where_the_pool_lets_it(
    chatting: Service, two_routers: dict[str, Path], tmp_path: Path
) -> None:
    entry = "- {{name: {}, usd_per_million_in: 1, usd_per_million_out: 1, context_tokens: 1000, owner: us{}}}"
    barred = {"translation": ", never_send: [health]", "email": ", state: retired"}
    (tmp_path / "pool.yaml").write_text("\n".join(entry.format(name, barred.get(name, "")) for name in AGENTS))
    params = chatting.params.model_copy(update={"pool": "pool.yaml"})
    service = Service(FolderSource(two_routers["1"]), params, tmp_path)
    service.switch.poll()
    body = {"model": "switchtender", "messages": [{"role": "user", "content": "put this text into french"}]}
    with running(service.app) as client:
        response = client.post("/v1/chat/completions", json=body, headers={"X-Switchtender-Labels": "other, Health"})
    asyncio.run(service._end())
    assert response.headers["X-Switchtender-Candidate"] == "sql"
    assert "X-Switchtender-Tried" not in response.headers, "nobody else was asked"
    (decision,) = entries(tmp_path / "var" / "serving" / DECISIONS)
    assert (decision["chosen"], decision["barred"]) == (["sql"], ["translation", "email"])


def test_a_picture_alone_goes_to_the_cheapest_that_reads_it_and_may_have_it(
    chatting: Service, two_routers: dict[str, Path], tmp_path: Path
) -> None:
    """Every candidate reads pictures; `email` is the cheapest, and barred from what concerns health."""
    upstreams = (tmp_path / "upstreams.yaml").read_text()
    (tmp_path / "upstreams.yaml").write_text(upstreams.replace("}", ", takes: [images]}"))
    entry = "- {{name: {}, usd_per_million_in: {}, usd_per_million_out: 1, context_tokens: 1000, owner: us{}}}"
    rows = [("translation", 4, ""), ("email", 1, ", never_send: [health]"), ("sql", 20, "")]
    (tmp_path / "pool.yaml").write_text("\n".join(entry.format(*row) for row in rows))
    photo = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 2_700_000}}
    body = {"model": "switchtender", "messages": [{"role": "user", "content": [photo]}]}
    service = Service(
        FolderSource(two_routers["1"]), chatting.params.model_copy(update={"pool": "pool.yaml"}), tmp_path
    )
    service.switch.poll()
    with running(service.app) as client:
        free = client.post("/v1/chat/completions", json=body)
        labelled = client.post("/v1/chat/completions", json=body, headers={"X-Switchtender-Labels": "health"})
    asyncio.run(service._end())
    assert (free.status_code, free.headers["X-Switchtender-Candidate"]) == (200, "email"), free.text
    assert free.headers["X-Switchtender-Version"] == "folder"
    assert labelled.headers["X-Switchtender-Candidate"] == "sql"
    assert labelled.headers["X-Switchtender-Tried"] == "translation=500"
    journal = tmp_path / "var" / "serving"
    assert not list(entries(journal / DECISIONS)), "nothing was scored"
    assert [entry["candidate"] for entry in entries(journal / FORWARDED)] == ["email", "sql"]


def test_a_pool_that_cannot_be_read_keeps_the_service_from_starting(
    two_routers: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Service(FolderSource(two_routers["1"]), ServeParams(pool="pool.yaml"), tmp_path)


def test_a_page_that_cannot_be_made_leaves_the_service_alone(
    two_routers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Service, project: Project, address: str) -> FastAPI:
        raise ImportError("no module named gradio")

    monkeypatch.setattr(Service, "_made_page", broken)
    service = Service(Shelf(two_routers, pointing="1"), ServeParams(), tmp_path, Project(tmp_path))
    service.switch.poll()
    with running(service.app) as client:
        loading = client.get("/ui")
        assert (loading.status_code, LOADING in loading.text, 'http-equiv="refresh"' in loading.text) == (
            503,
            True,
            True,
        )
        asyncio.run(service._watch("", StartupLines(lambda _: None, lambda _: None, lambda _: None)))
        assert FAILED in client.get("/ui/").text
        assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200
        assert 'switchtender_night_under_way{track="models"} 0.0' in client.get("/metrics").text
    assert '"page_failed"' in capfd.readouterr().err
    asyncio.run(service._end())


def test_it_is_ready_once_the_page_is_built_and_answers_before(
    two_routers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Building the page takes the processor for seconds, from every answer."""
    building, built = threading.Event(), threading.Event()

    def slowly(self: Service, project: Project, address: str) -> FastAPI:
        building.set()
        assert built.wait(20)
        return FastAPI()

    monkeypatch.setattr(Service, "_made_page", slowly)
    service = Service(Shelf(two_routers, pointing="1"), ServeParams(), tmp_path, Project(tmp_path))
    service.switch.poll()
    said: list[str] = []
    heard = StartupLines(said.append, lambda served: said.append(served.version), said.append)

    async def watch() -> None:
        watching = asyncio.create_task(service._watch("", heard))
        await asyncio.to_thread(ask)
        while len(said) < 2:
            await asyncio.sleep(0.01)
        assert service.page is not None
        service.page.close()
        await watching

    def ask() -> None:
        assert building.wait(20)
        with running(service.app) as client:
            unready = client.get("/readyz")
            assert (unready.status_code, unready.json()["error"]["code"]) == (503, "not_ready")
            assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200
            assert said == []
            built.set()
            wait_until(lambda: client.get("/readyz").status_code == 200)

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert said == ["1", "/ui"]
    asyncio.run(service._end())


def test_the_server_guards_its_connections(two_routers: dict[str, Path], tmp_path: Path) -> None:
    service = Service(FolderSource(two_routers["1"]), ServeParams(page=False), tmp_path)
    assert service._config().http == service.connections.protocol
    asyncio.run(service._end())


def test_the_page_opens_before_there_is_a_version_and_says_what_is_missing(
    two_routers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "_made_page", lambda *_: FastAPI())
    shelf, said = Shelf(two_routers), list[str]()
    service = Service(shelf, ServeParams(), tmp_path, Project(tmp_path))
    heard = StartupLines(said.append, lambda served: said.append(served.version), said.append, said.append)

    async def run() -> None:
        watching = asyncio.create_task(service._watch("", heard))
        await asyncio.sleep(0.1)
        assert said == [], "it is not known yet whether a version serves"
        service.switch.poll()
        while len(said) < 2:
            await asyncio.sleep(0.01)
        assert said[1] == "/ui"
        shelf.pointing = "1"
        service.switch.poll()
        while len(said) < 3:
            await asyncio.sleep(0.01)
        assert service.page is not None
        service.page.close()
        await watching

    asyncio.run(asyncio.wait_for(run(), 20))
    assert "make nightly" in said[0]
    assert said[2] == "1"
    asyncio.run(service._end())


@pytest.mark.parametrize("track", [AGENTS_TRACK, MODELS])
def test_each_track_has_a_journal_of_its_own(track: Track, two_routers: dict[str, Path], tmp_path: Path) -> None:
    project = Project(tmp_path, track)
    service = Service(Shelf(two_routers, pointing="1"), ServeParams(page=False), tmp_path, project)
    service.switch.poll()
    with running(service.app) as client:
        assert client.post("/v1/route", json={"prompt": ASKED}).status_code == 200
    asyncio.run(service._end())
    assert [path.parent for path in (tmp_path / "var").rglob(DECISIONS)] == [tmp_path / track.journal]


@pytest.mark.timeout(60)
def test_the_page_answers_once_it_is_built_and_its_streams_do_not_hold_up_the_end() -> None:
    mount, app = PageMount(), FastAPI()
    began: list[int] = []
    alive: list[str] = []

    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        alive.append("started")
        yield
        alive.append("ended")

    page = FastAPI(lifespan=lifespan)

    @page.get("/ui/stream")
    async def stream() -> StreamingResponse:
        async def forever() -> AsyncIterator[bytes]:
            while True:
                began.append(1)
                yield b"."
                await asyncio.sleep(0.01)

        return StreamingResponse(forever())

    keeping: list[asyncio.Task[None]] = []

    @app.get("/open")
    async def open_it() -> None:
        opened = asyncio.Event()
        keeping.append(asyncio.create_task(mount.keep_open(page, opened.set)))
        await opened.wait()

    @app.get("/shut")
    async def shut() -> None:
        mount.close()
        await keeping[0]

    app.add_middleware(PageLayer, mount=mount)
    with running(app) as client:
        assert client.get("/ui/stream").status_code == 503
        client.get("/open")
        assert client.get("/ui").headers["location"] == "/ui/"
        with client.stream("GET", "/ui/stream") as response:
            assert response.status_code == 200
            wait_until(lambda: len(began) > 3)
            httpx.get(f"{client.base_url}/shut")
            assert set(response.read()) == {ord(".")}, "the stream ended as it should"
        assert client.get("/ui/stream").status_code == 503
    assert alive == ["started", "ended"]


def test_a_folder_of_a_version_is_held_against_its_signature(
    tmp_path: Path, two_routers: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(two_routers["1"], tmp_path / "router" / "model")
    assert "no router.sig beside it" in FolderSource(tmp_path / "router" / "model").unproved
    make_key(tmp_path / "key.pem", tmp_path / "key.pub")
    by_key = SigningParams(method="key", private_key="key.pem", public_key="key.pub", identity="", oidc_issuer="")
    Signer(by_key, tmp_path).sign(tmp_path / "router", tmp_path / "router.sig")
    monkeypatch.setenv(PUBLIC_KEY, str(tmp_path / "key.pub"))
    assert FolderSource(tmp_path / "router" / "model").unproved == ""
    (tmp_path / "router" / "model" / "extra").write_text("x")
    with pytest.raises(VerificationFailed, match="extra is extra"):
        FolderSource(tmp_path / "router" / "model")
