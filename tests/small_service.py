"""A whole service on a small router of words: real parts, real server, no registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from pipeline.data.outcomes import Outcomes, label_matrix
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import sha256_file
from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import VersionPointer, VersionSwitch
from pipeline.serving.engine.pool_file import PoolFile
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.app import application
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.http.request_routing import RequestRouter

AGENTS = ("translation", "email", "sql")
COSTS = (0.004, 0.001, 0.02)
_SAID = {
    "translation": ("translate the letter into german", "put this text into french", "say it in dutch please"),
    "email": ("send an email to ana", "mail the invoice to bob", "write a mail to the landlord"),
    "sql": (
        "why does my query return rows twice",
        "join two tables in sql",
        "select the newest order of each customer",
    ),
}
ASKED = "translate the contract into german and mail it to ana"


def fit_small(folder: Path, first: str = AGENTS[0], encoder: Path | None = None) -> Path:
    """Fit a router of words, or of an encoder's vectors, on a dozen prompts and save it; `first` is the candidate that
    comes first.
    """
    agents = (first, *(agent for agent in AGENTS if agent != first))
    rows = [(text, (agent,)) for agent, texts in _SAID.items() for text in texts]
    rows += [("translate this and mail it to tom", ("translation", "email"))] * 3
    costs = dict(zip(AGENTS, COSTS, strict=True))
    outcomes = Outcomes(
        prompt_ids=tuple(f"p{i}" for i in range(len(rows))),
        prompts=tuple(text for text, _ in rows),
        candidates=agents,
        quality=label_matrix([named for _, named in rows], agents),
        cost=np.tile(np.array([costs[agent] for agent in agents], dtype=np.float32), (len(rows), 1)),
        is_labels=True,
    )
    system, params = ("linear", FinetuningParams(encoder=str(encoder))) if encoder else ("tfidf", FinetuningParams())
    fit_router(system, outcomes, params, seed=7).save(folder)
    return folder


def fit_two(folder: Path) -> dict[str, Path]:
    """Versions 1 and 2, which differ in the order of their candidates."""
    return {"1": fit_small(folder / "1"), "2": fit_small(folder / "2", first="sql")}


@dataclass
class Shelf:
    """A version source in memory: folders by version, what is signed of them, and which one should serve."""

    folders: dict[str, Path]
    pointing: str | None = None
    fault: Exception | None = None
    noted: list[str] = field(default_factory=list)
    since: str = ""

    def __post_init__(self) -> None:
        self.signed = {version: sha256_file(folder / "router.json") for version, folder in self.folders.items()}

    def current(self) -> VersionPointer | None:
        if self.fault is not None:
            raise self.fault
        if self.pointing is None:
            return None
        return VersionPointer(self.pointing, f"run-{self.pointing}", f"{self.pointing:0>64}", self.since)

    @contextmanager
    def proved(self, pointer: VersionPointer) -> Iterator[Path]:
        folder = self.folders[pointer.version]
        if sha256_file(folder / "router.json") != self.signed[pointer.version]:
            raise VerificationFailed(f"version {pointer.version}: router.json is changed; see 'switchtender verify'")
        yield folder

    def swapped(self, pointer: VersionPointer | None) -> None:
        self.noted.append(pointer.version if pointer else "")


@dataclass
class Small:
    """A service's parts, put together as `flows.service.serve` does."""

    source: Shelf
    folder: Path
    params: ServeParams = field(default_factory=lambda: ServeParams(poll_seconds=0.02))
    keys: ApiKeys = field(default_factory=lambda: ApiKeys({}))
    pool: PoolFile | None = None

    def __post_init__(self) -> None:
        self.switch = VersionSwitch(self.source, self.params, self.pool)
        self.journal = Journal(self.folder)
        self.routing = RequestRouter(self.switch, self.params, self.journal)
        self.app: FastAPI = application(self.switch, self.params, self.keys, self.journal, routing=self.routing)

    def close(self) -> None:
        self.switch.stop()
        self.routing.close()
        self.journal.close()


@contextmanager
def running(app: FastAPI, protocol: Any = "auto") -> Iterator[httpx.Client]:
    """A real server on a free loopback port, and a client of it."""
    server = uvicorn.Server(
        uvicorn.Config(app, http=protocol, port=0, log_level="error", ws="none", timeout_graceful_shutdown=20)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait_until(true: object, seconds: float = 30.0) -> None:
    """Wait for a condition; fails loudly after a time in which any machine would have met it."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)
