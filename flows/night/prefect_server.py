"""A Prefect server that lives as long as the night: an ephemeral one loses task runs when it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from flows.workspace.processes import end_group
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError

_START_SECONDS = 120.0
_SETTLE_SECONDS = 1.5
"""How long the server needs to write down the last events; without it some task runs are lost."""
_CONSOLE = ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_LOGGING_INTERNAL_LEVEL")
_shared_server: ContextVar[ExitStack | None] = ContextVar("_shared_server", default=None)


@contextmanager
def one_server() -> Iterator[None]:
    """Inside, the first `serving` starts a server that the later ones use, until the block ends.

    Prefect's clients and log senders keep to the first address that a process gave them.
    """
    with ExitStack() as stack:
        before = _shared_server.set(stack)
        try:
            yield
        finally:
            _shared_server.reset(before)


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """The API's address: the one that PREFECT_API_URL names, or a server of our own on loopback.

    Raises:
        SwitchtenderError: the server did not come up.
    """
    project.enter_environment()
    stack = _shared_server.get()
    with ExitStack() as own:
        if os.environ.get("PREFECT_API_URL"):
            address = os.environ["PREFECT_API_URL"]
        else:
            address = (stack or own).enter_context(_own_server(project))
        # Prefect's page has the tracebacks of what failed; the command line says what is wrong in a line.
        for setting in _CONSOLE:
            os.environ.setdefault(setting, "CRITICAL")
        yield address


@contextmanager
def _own_server(project: Project) -> Iterator[str]:
    """A server on a free loopback port, and its address; ended with the block."""
    address = f"http://127.0.0.1:{_free_port()}/api"
    process = _start(project, address)
    os.environ["PREFECT_API_URL"] = address
    try:
        _wait_until_healthy(process, address)
        yield address
        time.sleep(_SETTLE_SECONDS)
    finally:
        del os.environ["PREFECT_API_URL"]
        end_group(process)


def _start(project: Project, address: str) -> subprocess.Popen[bytes]:
    project.prefect_home.mkdir(parents=True, exist_ok=True)
    port = address.rsplit(":", 1)[1].split("/")[0]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    with (project.prefect_home / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env=project.night_environment(),
            cwd=project.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:  # noqa: S310 (http(s) only)
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SwitchtenderError("Prefect's server did not start; see var/prefect/server.log")


def _free_port() -> int:
    # Somebody may take it before the server does; then the server ends, and `_wait_until_healthy` says so.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
