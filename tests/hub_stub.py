"""A model hub on this machine: one repository in two revisions, answered as huggingface_hub asks for it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """`revisions` are folders by commit, `main` the newest commit; `asked` is every request, in order."""

    name: str
    revisions: dict[str, Path]
    main: str
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def commit(self, revision: str) -> str | None:
        """The commit that a revision stands for."""
        found = self.main if revision == "main" else revision
        return found if found in self.revisions else None

    def answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        parts = unquote(urlsplit(path).path).strip("/")
        if parts.startswith(f"{self.name}/resolve/"):
            revision, _, file = parts.removeprefix(f"{self.name}/resolve/").partition("/")
            return self._file(revision, file)
        if parts.startswith(f"api/models/{self.name}"):
            return self._facts(parts.removeprefix(f"api/models/{self.name}").strip("/").split("/"))
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def _file(self, revision: str, file: str) -> tuple[int, dict[str, str], bytes]:
        commit = self.commit(revision)
        if commit is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        place = self.revisions[commit] / file
        if not place.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        content = place.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return 200, {"ETag": etag, "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}, content

    def _facts(self, asked: list[str]) -> tuple[int, dict[str, str], bytes]:
        """Of a revision: what it is, or the list of its files."""
        revision = asked[1] if len(asked) > 1 else "main"
        commit = self.commit(revision)
        if commit is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = sorted(path.name for path in self.revisions[commit].iterdir())
        if asked[0] == "tree":
            body: object = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in files]
            return (404, {"X-Error-Code": "EntryNotFound"}, b"") if len(asked) > 2 else _json(body)
        return _json({"id": self.name, "sha": commit, "tags": [], "siblings": [{"rfilename": name} for name in files]})


def _json(body: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.url`, as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.command, self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (http.server names it so)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
