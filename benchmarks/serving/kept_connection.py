"""What HTTP adds to the engine's own time on one kept connection, and whether loading the page slows answers."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.serving.figures import Spread
from benchmarks.serving.prompts import Asking
from benchmarks.serving.race import Plan
from benchmarks.serving.startup import Server, serving
from pipeline.serving.engine.engine import Engine

_WARM = 30
_FIRST, _LATER = 5.0, 10.0
"""Seconds after ready: answers before the first are compared with those between the two."""


@dataclass(frozen=True)
class KeptConnection:
    """p50 in milliseconds, of each round: the engine alone, a new text over HTTP, one asked before, and /healthz.

    `times` is the second as a multiple of the first. `first` is the p50 of new texts in the first seconds after ready
    with the page, as a multiple of later ones; None without a project to show.
    """

    engine: Spread
    asked: Spread
    again: Spread
    health: Spread
    times: Spread
    first: Spread | None


def measure_kept_connection(
    model: Path, project: Path | None, place: Path, asking: Asking, plan: Plan
) -> KeptConnection:
    """All four take turns, text by text, so that what else runs on the machine slows all alike."""
    engine = Engine.load(model)
    with serving(["--from", str(model)], place, place / "serve.log") as server:
        line = _Line(server)
        _round(engine, line, asking.short(_WARM))
        found = [_round(engine, line, asking.short(plan.calls)) for _ in range(plan.rounds)]
        line.close()
    times = Spread.of([asked / alone for alone, asked, *_ in found])
    first = _after_ready(project, place, asking) if project else None
    alone, new, again, health = (Spread.of(values) for values in zip(*found, strict=True))
    return KeptConnection(alone, new, again, health, times, first)


def _round(engine: Engine, line: _Line, texts: Sequence[str]) -> tuple[float, float, float, float]:
    rows = []
    for text in texts:
        asked = partial(line.ask, text)
        rows.append([_took(partial(engine.score, [text])), _took(asked), _took(asked), _took(line.health)])
    alone, new, again, health = np.median(rows, axis=0).tolist()
    return alone, new, again, health


def _took(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def _after_ready(project: Path, place: Path, asking: Asking) -> Spread:
    """The first seconds after ready as a multiple of the later ones, with the page on."""
    with serving([], project, place / "serve.log") as server:
        ready, line = time.monotonic(), _Line(server)
        first: list[float] = []
        later: list[float] = []
        while (now := time.monotonic() - ready) < _LATER:
            (text,) = asking.short(1)
            (first if now < _FIRST else later).append(_took(partial(line.ask, text)))
            time.sleep(0.005)
        line.close()
    return Spread.of([float(np.median(first) / np.median(later))])


class _Line:
    """One connection that stays open; a request is one packet."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection((server.host, server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, prompt: str) -> None:
        """Route a prompt."""
        body = json.dumps({"prompt": prompt}).encode()
        head = "POST /v1/route HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._exchange(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def health(self) -> None:
        """Ask whether it lives."""
        self._exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def close(self) -> None:
        self.socket.close()

    def _exchange(self, request: bytes) -> None:
        self.socket.sendall(request)
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the service answered {answer.status}: {content[:200]!r}")
