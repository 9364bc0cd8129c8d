"""A remote of DVC's behind HTTP, that can be told to fail: a folder, GET, HEAD and POST."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WELL, REFUSING, SILENT = "well", "answers 500", "does not answer"


class StubRemote:
    """Where it listens, and how it behaves now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.behaves = WELL
        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @contextmanager
    def behaving(self, how: str) -> Iterator[None]:
        self.behaves = how
        try:
            yield
        finally:
            self.behaves = WELL


@contextmanager
def stub_remote(folder: Path) -> Iterator[StubRemote]:
    """A remote that keeps its objects in a folder, and listens while the block runs."""
    remote = StubRemote(folder)
    threading.Thread(target=remote.server.serve_forever, daemon=True).start()
    try:
        yield remote
    finally:
        remote.stopped.set()
        remote.server.shutdown()
        remote.server.server_close()


def _handler(remote: StubRemote) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _place(self) -> Path:
            return remote.folder / self.path.lstrip("/")

        def _answer(self, code: int, content: bytes = b"") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _fails(self) -> bool:
            if remote.behaves == SILENT:
                remote.stopped.wait(120)
            if remote.behaves == REFUSING:
                self._answer(500)
            return remote.behaves != WELL

        def do_GET(self) -> None:
            if self._fails():
                return
            place = self._place()
            self._answer(*((200, place.read_bytes()) if place.is_file() else (404, b"")))

        do_HEAD = do_GET  # noqa: N815 (the names are http.server's)

        def do_POST(self) -> None:
            content = b""
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline(), 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self._fails():
                return
            place = self._place()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            self._answer(200)

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler
