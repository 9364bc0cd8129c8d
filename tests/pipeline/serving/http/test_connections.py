"""Connections that never finish asking, over real sockets: they lose their place, and whoever asks at once gets in."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from small_service import running, wait_until
from starlette.responses import Response

from pipeline.serving.engine.log import refusals
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.connections import Connection, Connections, network

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


class Attacked:
    """A service, what it knows of its connections, and sockets of whoever attacks it."""

    def __init__(self, params: ServeParams, stack: ExitStack) -> None:
        self.connections = Connections(params)
        self.stack = stack
        app = FastAPI()

        @app.get("/healthz")
        async def healthz() -> str:
            return "alive"

        @app.post("/body")
        async def body(request: Request) -> int:
            return len(await request.body())

        @app.post("/refused")
        async def refused() -> Response:
            return Response("no key", 401)

        @app.get("/large")
        async def large() -> Response:
            return Response(b"x" * 50_000_000)

        self.client = stack.enter_context(running(app, self.connections.protocol))
        self.place = (str(self.client.base_url.host), int(self.client.base_url.port or 0))

    def opened(self, sent: bytes = b"") -> socket.socket:
        one = self.stack.enter_context(socket.create_connection(self.place, timeout=20))
        one.sendall(sent)
        return one

    def look(self, later: float = 0.0) -> None:
        """Let the service look as if it were so many seconds later."""
        loop, looked = next(iter(self.connections._all)).loop, threading.Event()

        def look() -> None:
            self.connections.look(loop.time() + later)
            looked.set()

        loop.call_soon_threadsafe(look)
        assert looked.wait(20)

    def of(self, holds: Callable[[Connection], bool]) -> list[Connection]:
        return [one for one in list(self.connections._all) if holds(one)]

    def alive(self) -> bool:
        return httpx.get(f"{self.client.base_url}/healthz", timeout=20).status_code == 200


def status_of(one: socket.socket) -> int:
    """The status of the next answer, which is read to its end."""
    answer = HTTPResponse(one)
    answer.begin()
    answer.read()
    return answer.status


def is_closed(one: socket.socket) -> bool:
    try:
        while one.recv(1000):  # what was answered before
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.fixture
def attacked(request: pytest.FixtureRequest) -> Iterator[Attacked]:
    given: dict[str, Any] = getattr(request, "param", {})
    with ExitStack() as stack:
        yield Attacked(ServeParams(**given), stack)


FEW = pytest.mark.parametrize("attacked", [{"connections_per_address": 10}, {"connections": 10}], indirect=True)


@FEW
def test_one_too_many_costs_the_oldest_that_never_finished_its_place(
    attacked: Attacked, capfd: pytest.CaptureFixture[str]
) -> None:
    refusals.flush(at_once=True)
    capfd.readouterr()
    unfinished = []
    for _ in range(60):
        unfinished.append(attacked.opened(HEAD))
        if len(unfinished) % 20 == 0:
            assert attacked.alive()
    wait_until(lambda: len(attacked.connections) <= 10)
    assert all(is_closed(one) for one in unfinished[:45])
    assert attacked.client.get("/healthz").status_code == 200
    (line,) = [json.loads(text) for text in capfd.readouterr().err.splitlines() if '"cut"' in text]
    assert line["cut"].startswith("too many"), "sixty of them, one line"
    refusals.flush(at_once=True)
    assert '"more": ' in capfd.readouterr().err


@FEW
def test_a_request_under_way_keeps_its_place_and_a_kept_connection_goes_after_those_that_never_asked(
    attacked: Attacked,
) -> None:
    under_way = attacked.opened(BODY + b"x")
    kept = attacked.opened(HEAD + b"\r\n")
    assert status_of(kept) == 200
    for _ in range(30):
        attacked.opened(HEAD)
    kept.sendall(HEAD + b"\r\n")
    assert status_of(kept) == 200
    under_way.sendall(b"x" * 99)
    assert status_of(under_way) == 200


@pytest.mark.parametrize("sent", [b"", b"G", HEAD], ids=["nothing", "a letter", "half a header"])
def test_a_header_that_never_ends_is_cut_however_it_trickles(attacked: Attacked, sent: bytes) -> None:
    slow = attacked.opened(sent)
    wait_until(lambda: len(attacked.connections) == 1)
    attacked.look()
    attacked.look(later=9.9)
    assert len(attacked.connections) == 1
    slow.sendall(b"X-A: b\r\n")
    attacked.look(later=10.1)
    assert is_closed(slow)
    assert attacked.alive()


def test_so_is_the_second_header_of_a_kept_connection(attacked: Attacked) -> None:
    slow = attacked.opened(HEAD + b"\r\n")
    assert status_of(slow) == 200
    slow.sendall(HEAD)
    wait_until(lambda: bool(attacked.of(lambda one: one.timeout_keep_alive_task is None)))
    attacked.look()
    attacked.look(later=10.1)
    assert is_closed(slow)


def test_a_body_that_trickles_is_cut_after_the_time_of_a_request(attacked: Attacked) -> None:
    slow = attacked.opened(BODY + b"x")
    wait_until(lambda: bool(attacked.of(lambda one: one.cycle is not None)))
    attacked.look()
    attacked.look(later=29.0)
    slow.sendall(b"x")
    assert len(attacked.connections) == 1
    attacked.look(later=30.1)
    assert is_closed(slow)


def test_a_body_that_goes_on_behind_its_refusal_is_cut_after_the_time_of_a_header(attacked: Attacked) -> None:
    slow = attacked.opened(BODY.replace(b"/body", b"/refused"))
    assert status_of(slow) == 401
    wait_until(lambda: bool(attacked.of(lambda one: one.cycle is not None and one.cycle.response_complete)))
    attacked.look()
    slow.sendall(b"x")
    attacked.look(later=10.1)
    wait_until(lambda: len(attacked.connections) == 0)


def test_an_answer_that_nobody_reads_is_cut(attacked: Attacked) -> None:
    attacked.opened(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: bool(attacked.of(lambda one: one.flow.write_paused)))
    attacked.look()
    attacked.look(later=29.0)
    assert len(attacked.connections) == 1
    attacked.look()
    attacked.look(later=30.1)
    wait_until(lambda: len(attacked.connections) == 0)
    assert attacked.alive()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
    ],
)
def test_whom_an_address_belongs_to(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same
