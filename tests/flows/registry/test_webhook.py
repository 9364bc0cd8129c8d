"""The webhook of a real MLflow server: made once, follows the setting, and hears of a moved alias."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from flows.registry.mlflow_store import Registry
from flows.registry.webhook import NAME, keep_webhook
from flows.workspace.project import Project

HEARD: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        HEARD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A project whose registry is a server; that an address without TLS is taken is a setting for tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path}/m.db"],
        cwd=tmp_path, env={**os.environ, **settings, **{f"_{key}": value for key, value in settings.items()}},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.3)
        yield Registry(Project(tmp_path / "project"), "agent-router")
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.heavy
def test_the_server_tells_of_a_moved_alias(registry: Registry, hook: str) -> None:
    for address in ("http://127.0.0.1:9/", hook, hook):
        assert keep_webhook(registry, SecretStr(address))
    client = registry.client
    assert [(one.name, one.url) for one in client.list_webhooks()] == [(NAME, hook)]
    client.create_registered_model("agent-router")
    client.create_model_version("agent-router", "file:///nowhere")
    client.set_registered_model_alias("agent-router", "champion", "1")
    deadline = time.monotonic() + 60
    while not any(one["entity"] == "model_version_alias" for one in HEARD) and time.monotonic() < deadline:
        time.sleep(0.2)
    (moved,) = [one for one in HEARD if one["entity"] == "model_version_alias"]
    assert moved["data"]["alias"] == "champion"


def test_a_store_in_a_file_has_no_webhooks(tmp_path: Path) -> None:
    assert not keep_webhook(Registry(Project(tmp_path), "agent-router"), SecretStr("https://example.org"))
