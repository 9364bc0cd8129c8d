"""A small server on loopback that speaks OpenAI's protocol, and fails in each way that an upstream fails.

The first part of the path says how it behaves: `/ok/v1/chat/completions` answers, `/500/...` gives that status.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

WORDS = ("Gut ", "gemacht", ".")
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@dataclass(frozen=True)
class Call:
    """What an upstream was asked."""

    kind: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Stub:
    """The server: where it is, what it was asked, whether a caller went away, and a gate in the stream of `gated`.

    `answers` are kinds of a test's own: a status, headers, and a body.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def says(self, kind: str, body: Any, status: int = 200, **headers: str) -> str:
        """Have a kind answer this: bytes as they are, anything else as JSON; the kind."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[kind] = status, {"content-type": "application/json"} | named, content
        return kind

    def base(self, kind: str) -> str:
        return f"{self.url}/{kind}/v1"

    def asked(self) -> list[str]:
        return [call.kind for call in self.calls]


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Run an application on a loopback port of its own; its address."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    # A loop of pure Python, so that the guard over socket.connect sees every connection.
    config = uvicorn.Config(app, log_level="critical", loop="asyncio", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def stub_upstreams() -> Iterator[Stub]:
    stub = Stub()
    with serving(_application(stub)) as stub.url:
        yield stub
        stub.gate.set()


def _application(stub: Stub) -> FastAPI:
    app = FastAPI()

    @app.post("/{kind}/v1/chat/completions")
    async def complete(kind: str, request: Request) -> Response:
        body = await request.json()
        stub.calls.append(Call(kind, body, dict(request.headers)))
        if kind in stub.answers:
            status, headers, content = stub.answers[kind]
            return Response(content, status, headers)
        if kind.isdigit():
            return _refusal(int(kind), request.headers.get("authorization", ""))
        if kind in ("slow", "hangs"):
            return await _hanging(stub, request)
        if kind == "trickles":
            return StreamingResponse(_trickle(), media_type="text/event-stream")
        if kind == "garbage":
            return HTMLResponse("<h1>It works!</h1>")
        if body.get("stream"):
            return StreamingResponse(_stream(stub, kind, body), media_type="text/event-stream")
        return JSONResponse({"id": "x", "object": "chat.completion", "choices": []} if kind == "empty" else _whole())

    @app.post("/anthropic/v1/messages")
    async def messages(request: Request) -> Response:
        stub.calls.append(Call("anthropic", await request.json(), dict(request.headers)))
        if stub.calls[-1].body.get("stream"):
            return StreamingResponse(_anthropic_stream(), media_type="text/event-stream")
        return JSONResponse(_ANTHROPIC)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def other(path: str) -> Response:
        stub.calls.append(Call(path, {}, {}))
        return Response(status_code=404)

    return app


def _refusal(status: int, authorization: str) -> Response:
    """As real ones have been seen to do, it quotes the key."""
    error = {"message": f"no, not with '{authorization}'", "type": "stub_error", "param": "tools", "code": "stub_code"}
    return JSONResponse({"error": error}, status)


async def _hanging(stub: Stub, request: Request) -> Response:
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    stub.gone.set()
    return Response(status_code=499)


async def _trickle() -> AsyncIterator[str]:
    """Bytes come all the time, an answer never."""
    while True:
        yield ": wait\n\n"
        await asyncio.sleep(0.05)


def _whole() -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub", "system_fingerprint": "fp"}
    return {**head, "choices": [choice], "usage": USAGE}


def _chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": [choice]}


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


async def _stream(stub: Stub, kind: str, body: dict[str, Any]) -> AsyncIterator[str]:
    """`empty` ends before it said anything; `cut`, `breaks`, `error`, `stalls` end after a word, each in its way."""
    yield _event(_chunk({"role": "assistant", "content": ""}))
    if kind == "empty":
        return
    if kind == "error_first":
        yield _event({"error": {"message": "overloaded", "code": 500}})
        return
    if kind == "tools":
        for call in ({"name": "send", "arguments": '{"to": '}, {"arguments": '"Ana"}'}):
            known = {"id": "call_1", "type": "function"} if "name" in call else {}
            yield _event(_chunk({"tool_calls": [{"index": 0, **known, "function": call}]}))
        yield _event(_chunk({}, "tool_calls"))
        return
    yield _event(_chunk({"content": WORDS[0]}))
    if kind == "cut":
        return
    if kind == "breaks":
        raise ConnectionAbortedError
    if kind == "error":
        yield _event({"error": {"message": "overloaded", "code": 500}})
        return
    try:
        while kind in ("gated", "stalls") and not (kind == "gated" and stub.gate.is_set()):
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        stub.gone.set()
        raise
    for word in WORDS[1:]:
        yield _event(_chunk({"content": word}))
    yield _event(_chunk({}, "stop"))
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**_chunk({}), "choices": [], "usage": USAGE})
    yield "data: [DONE]\n\n"


_ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "".join(WORDS)}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


async def _anthropic_stream() -> AsyncIterator[str]:
    start = {**_ANTHROPIC, "content": [], "stop_reason": None}
    text = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": text},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
