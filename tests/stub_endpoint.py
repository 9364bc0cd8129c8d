"""A small server on loopback that speaks as much of OpenAI's protocol as `aptitude run` needs, and fails on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@dataclass(frozen=True)
class Reply:
    """What is sent back: a status, a body (JSON, or text as it is) and headers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def completion(text: str | None, reason: str = "stop") -> Reply:
    message = {"role": "assistant", "content": text}
    return Reply(body={"choices": [{"message": message, "finish_reason": reason}], "usage": USAGE})


def failure(status: int, message: str = "no", **headers: str) -> Reply:
    return Reply(status, {"error": {"message": message}}, {name.replace("_", "-"): v for name, v in headers.items()})


@dataclass
class Stub:
    """Where it is, what it was asked, and the replies that come first; after them `answer` is asked for one."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    first: list[Reply] = field(default_factory=list)
    answer: Callable[[str], Reply] = lambda prompt: completion("B")

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]


@contextmanager
def stub_endpoint() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stub.bodies.append(body)
            stub.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = Reply(404, "no such place")
            if self.path == "/v1/chat/completions":
                reply = stub.first.pop(0) if stub.first else stub.answer(body["messages"][0]["content"])
            content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(content)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
