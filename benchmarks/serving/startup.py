"""How long the command line takes to start, and `switchtender serve` until it routes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.serving.figures import Spread
from benchmarks.serving.race import ROOT

COMMAND = [sys.executable, "-P", "-m", "switchtender"]
_IMPORT = "import switchtender.app"


@dataclass(frozen=True)
class Startup:
    """Seconds: a bare interpreter, the import of the command line on top of it, `--help`, and `serve` to ready."""

    python: Spread
    command_line: Spread
    help: Spread
    ready: Spread


def measure_startup(model: Path, place: Path, times: int) -> Startup:
    """Each so many times, in turn; files are in the system's cache, as after any earlier use."""
    seconds: dict[str, list[float]] = {"python": [], "import": [], "help": [], "ready": []}
    for _ in range(times):
        seconds["python"].append(_took([sys.executable, "-P", "-c", "pass"], place))
        seconds["import"].append(_took([sys.executable, "-P", "-c", _IMPORT], place))
        seconds["help"].append(_took([*COMMAND, "--help"], place))
        with serving(["--from", str(model)], place, place / "serve.log") as server:
            seconds["ready"].append(server.ready_after)
    bare = float(Spread.of(seconds["python"]).median)
    seconds["import"] = [value - bare for value in seconds["import"]]
    return Startup(*(Spread.of(seconds[name]) for name in ("python", "import", "help", "ready")))


@dataclass(frozen=True)
class Server:
    """A service that routes: its process, address, and how many seconds after its start /readyz said 200."""

    process: subprocess.Popen[str]
    host: str
    port: int
    ready_after: float


@contextmanager
def serving(options: Sequence[str], root: Path, log: Path) -> Iterator[Server]:
    """`switchtender serve` in a folder, on a free loopback port, until the block ends; it is ended by SIGTERM.

    Raises:
        RuntimeError: it did not become ready, or did not end by itself with exit code 0.
    """
    started = time.perf_counter()
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--host", "127.0.0.1", "--port", "0", "--json", *options],
            cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"switchtender serve ended; see {log}: {_last(log)}")
            address = urlsplit(json.loads(line)["address"])
            host, port = str(address.hostname), int(address.port or 0)
            _wait_until_ready(host, port, log)
            yield Server(process, host, port, time.perf_counter() - started)
            process.send_signal(signal.SIGTERM)
            if process.wait(timeout=60) != 0:
                raise RuntimeError(f"switchtender serve ended with {process.returncode}: {_last(log)}")
        finally:
            process.kill()
            process.communicate()


def environment() -> dict[str, str]:
    """This code, wherever the process stands."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _wait_until_ready(host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise RuntimeError(f"switchtender serve was not ready after 120 s: {_last(log)}")


def _took(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=True)
    return time.perf_counter() - started


def _last(log: Path) -> str:
    return " ".join(log.read_text(encoding="utf-8").strip().splitlines()[-1:])[:300]
