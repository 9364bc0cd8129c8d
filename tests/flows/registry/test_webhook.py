"""The webhook of a real MLflow server: made once, and it follows the setting. (The server sends to public addresses
only, so that none is sent here.)"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.registry.mlflow_store import Registry
from flows.registry.webhook import NAME, keep_webhook
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A project whose registry is a server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path}/m.db"],
        cwd=tmp_path, env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
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
def test_the_server_keeps_one_webhook_at_the_address_of_the_setting(registry: Registry) -> None:
    for address in ("https://1.1.1.1/old", "https://1.1.1.1/new", "https://1.1.1.1/new"):
        assert keep_webhook(registry, SecretStr(address))
    assert [(one.name, one.url) for one in registry.client.list_webhooks()] == [(NAME, "https://1.1.1.1/new")]
    with pytest.raises(SwitchtenderError, match="the registry's webhook could not be read or written"):
        keep_webhook(registry, SecretStr("https://127.0.0.1/hook"))
    with pytest.raises(SwitchtenderError, match="must include a hostname: 'the address'") as told:
        keep_webhook(registry, SecretStr("https://:hunter2@/hook"))
    assert "hunter2" not in str(told.value)


def test_a_store_in_a_file_has_no_webhooks(tmp_path: Path) -> None:
    assert not keep_webhook(Registry(Project(tmp_path), "agent-router"), SecretStr("https://example.org"))
