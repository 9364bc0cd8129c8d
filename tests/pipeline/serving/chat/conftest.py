"""A chat endpoint for each test, and the guard that nothing but loopback is spoken to."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chat_service import SECRET, Service, Start, entry_of
from fastapi import FastAPI
from stub_upstreams import Stub, serving, stub_upstreams

from pipeline.serving.chat.completions import RoutedChat, chat_router
from pipeline.serving.chat.litellm_library import library
from pipeline.serving.chat.upstreams import Upstreams


@pytest.fixture(scope="module", autouse=True)
def only_loopback() -> Iterator[list[object]]:
    """Every host that this process looks up or connects to, LiteLLM's import included; loopback it must be."""
    hosts: list[object] = []
    connecting, looking_up = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        hosts.append(address[0] if isinstance(address, tuple) else "127.0.0.1")
        connecting(self, address)

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        hosts.append(host)
        return looking_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        library()
        yield hosts
    assert set(hosts) <= {"127.0.0.1"}


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    with stub_upstreams() as stub:
        yield stub


@pytest.fixture
def stub(server: Stub) -> Stub:
    server.calls.clear()
    server.gone.clear()
    server.gate.clear()
    server.answers.clear()
    return server


@pytest.fixture
def start(stub: Stub, tmp_path: Path) -> Iterator[Start]:
    """Serve candidates, each with the stub's behaviour of that name; the router ranks them in the order given."""
    with ExitStack() as stack:

        def start(
            *kinds: str,
            ranking: tuple[str, ...] = (),
            chosen: tuple[str, ...] = (),
            fails: Exception | None = None,
            entry: str = "",
            entries: Mapping[str, str] | None = None,
        ) -> Service:
            lines = [f"{kind}: {{{entry_of(stub, kind)}{(entries or {}).get(kind, entry)}}}" for kind in kinds]
            (tmp_path / "upstreams.yaml").write_text("\n".join(lines))
            upstreams = Upstreams.read(tmp_path / "upstreams.yaml", {"STUB_KEY": SECRET})
            service = Service()

            def route(prompt: str, request_id: str) -> RoutedChat:
                service.prompts.append((prompt, request_id))
                if fails:
                    raise fails
                return RoutedChat(ranking or kinds, chosen or (ranking or kinds)[:1], "7", "0" * 64)

            app = FastAPI()
            app.include_router(chat_router(route, upstreams, lambda *told: service.answered.append(told)))
            service.url = stack.enter_context(serving(app))
            return service

        yield start
