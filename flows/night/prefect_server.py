"""A Prefect server that lives as long as the night: an ephemeral one loses task runs when it ends."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

from flows.workspace.processes import end_group
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.tables import write_text
from pipeline.runtime.text import parse_json

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
    """The API's address: the one that PREFECT_API_URL names, the schedule's, or a server of our own on loopback.

    Raises:
        SwitchtenderError: the server did not come up.
    """
    project.enter_environment()
    stack = _shared_server.get()
    with ExitStack() as own:
        if os.environ.get("PREFECT_API_URL"):
            address = os.environ["PREFECT_API_URL"]
        elif running := running_server(project):
            address = (stack or own).enter_context(_used(running))
        else:
            address = (stack or own).enter_context(own_server(project))
        # Prefect's page has the tracebacks of what failed; the command line says what is wrong in a line.
        for setting in _CONSOLE:
            os.environ.setdefault(setting, "CRITICAL")
        yield address


def running_server(project: Project) -> str:
    """The address of the project's server where a schedule keeps one running; empty where none answers."""
    try:
        address = _address_file(project).read_text(encoding="utf-8").strip()
        return address if address.startswith("http") and is_own(project, address) else ""
    except (OSError, ValueError):
        return ""


def is_own(project: Project, address: str) -> bool:
    """Whether the server that answers there keeps the project's own database: another project's may have its port, and
    a copied project names the server of the one that it was copied from.
    """
    request = urllib.request.Request(f"{address}/admin/settings")  # noqa: S310 (http(s) only)
    if user := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 (http(s) only)
            home = parse_json(answer.read())["home"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return Path(home).resolve() == Path(project.environment()["PREFECT_HOME"]).resolve()


def advertise(project: Project, address: str) -> None:
    """Let nights by hand use a server: two on one database lock each other out."""
    write_text(f"{address}\n", _address_file(project))


def _address_file(project: Project) -> Path:
    return project.prefect_home / "address.txt"


@contextmanager
def own_server(project: Project) -> Iterator[str]:
    """A server on a free loopback port that belongs to this night, and its address; ended with the block."""
    address = api_at(free_port())
    process = start_server(project, address, project.night_environment())
    try:
        with _used(address):
            wait_until_up(project, process, address)
            yield address
            time.sleep(_SETTLE_SECONDS)
    finally:
        end_group(process)


@contextmanager
def _used(address: str) -> Iterator[str]:
    os.environ["PREFECT_API_URL"] = address
    try:
        yield address
    finally:
        del os.environ["PREFECT_API_URL"]


def api_at(port: int) -> str:
    """The address of the API of a server on loopback."""
    return f"http://127.0.0.1:{port}/api"


def start_server(
    project: Project, address: str, environment: Mapping[str, str], *, ui: bool = False
) -> subprocess.Popen[bytes]:
    """Start a server at an address on loopback, with Prefect's page or without."""
    project.prefect_home.mkdir(parents=True, exist_ok=True)
    port = address.rsplit(":", 1)[1].split("/")[0]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with (project.prefect_home / "server.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--ui" if ui else "--no-ui"],
            env={**environment, "PREFECT_API_URL": address, "PREFECT_UI_API_URL": address},
            cwd=project.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def is_healthy(address: str) -> bool:
    """Whether a server answers."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:  # noqa: S310 (http(s) only)
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def wait_until_up(project: Project, process: subprocess.Popen[bytes], address: str) -> None:
    """Wait for a server of the project that was started.

    Raises:
        SwitchtenderError: it ended, or does not answer in two minutes.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if is_own(project, address):
            return
        time.sleep(0.2)
    raise SwitchtenderError(
        "Prefect's server did not start; see var/prefect/server.log. Where its database is damaged, move "
        "var/prefect/prefect.db away: nights do not need what it remembers"
    )


def require_free(port: int) -> None:
    """Raises InputError where something listens on a port of loopback: it would be taken for the server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"port {port} is taken ({error.strerror}), perhaps by the schedule of another project; give --port"
            ) from error


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    # Somebody may take it before the server does; then the server ends, and `wait_until_up` says so.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
