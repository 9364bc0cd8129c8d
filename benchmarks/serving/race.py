"""All contenders on the same prompts, turn by turn, so that what happens to the machine happens to all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.contender import ENGINE_INT8, TORCH_SORTED, Setup
from benchmarks.serving.prompts import Asking

ROOT = Path(__file__).resolve().parent.parent.parent
WARM = 3
CACHED_CALLS = 2000
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Batch:
    """One batch: how many prompts, wall seconds, CPU seconds of all threads."""

    prompts: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Calls:
    """Single calls one after another: wall seconds of each, CPU seconds of all."""

    seconds: list[float]
    cpu_seconds: float


@dataclass
class Measured:
    """One contender on so many threads. `calls` and `batches` have an entry a round."""

    contender: str
    threads: int
    calls: list[Calls] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    cached: list[float] = field(default_factory=list)
    vectors: list[list[float]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Plan:
    """How much is asked: rounds, single calls a round, and prompts of all batches together."""

    rounds: int
    calls: int
    prompts: int


class Gone(Exception):
    """A worker ended; says why."""


class Worker:
    """A contender's process."""

    def __init__(self, setup: Setup, python: Path, log: Path) -> None:
        self.log = log
        self._file = log.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.serving.worker", setup.to_json()],
            cwd=log.parent, env=worker_environment(setup.threads), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._file,
        )  # fmt: skip

    def reply(self) -> dict[str, Any]:
        """The next line that it prints.

        Raises:
            Gone: it printed none.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            last = self.log.read_text(encoding="utf-8").strip().splitlines()[-1:]
            raise Gone(f"it ended: {' '.join(last)[:160] or 'without a word'}")
        value: dict[str, Any] = json.loads(line)
        return value

    def do(self, job: str, prompts: Sequence[str], **more: int) -> dict[str, Any]:
        """Have a job done.

        Raises:
            Gone: it ended meanwhile.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"job": job, "prompts": list(prompts), **more}), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise Gone("it ended") from error
        return self.reply()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._file.close()


def race(setups: Sequence[Setup], asking: Asking, plan: Plan, pythons: dict[str, Path], place: Path) -> list[Measured]:
    """Run every round with every contender; `pythons` has an interpreter for each that can run."""
    found = [Measured(setup.contender, setup.threads) for setup in setups]
    with _started(setups, found, pythons, place) as workers:
        for part, batch in enumerate(asking.batches(plan.prompts, plan.rounds)):
            _round(_rotated(workers, part), asking, plan.calls, batch)
        _each(workers, lambda worker, one: one.vectors.extend(worker.do("vector", batch[:5])["vectors"]))
    return found


Running = list[tuple[Worker, Measured]]


def _round(workers: Running, asking: Asking, calls: int, batch: list[str]) -> None:
    short = asking.short(WARM + calls)
    again = short[:1] * CACHED_CALLS

    def call(worker: Worker, one: Measured) -> None:
        if one.contender != TORCH_SORTED:
            one.calls.append(Calls(**worker.do("calls", short, warm=WARM)))

    def work(worker: Worker, one: Measured) -> None:
        one.batches.append(Batch(len(batch), **worker.do("batch", batch)))

    def recall(worker: Worker, one: Measured) -> None:
        if one.contender == ENGINE_INT8:
            one.cached.extend(worker.do("calls", again, warm=WARM)["seconds"])

    for turn in (call, work, recall):
        _each(workers, turn)


def _each(workers: Running, turn: Any) -> None:
    """One turn of each contender that still runs, one after another."""
    for worker, one in workers:
        if one.missing:
            continue
        try:
            turn(worker, one)
        except Gone as error:
            one.missing = str(error)


def _rotated(workers: Running, by: int) -> Running:
    by %= max(1, len(workers))
    return workers[by:] + workers[:by]


@contextmanager
def _started(
    setups: Sequence[Setup], found: list[Measured], pythons: dict[str, Path], place: Path
) -> Iterator[Running]:
    """A process for each contender, loaded and warm. One after another: loading takes every core."""
    workers: Running = []
    try:
        for number, (setup, one) in enumerate(zip(setups, found, strict=True)):
            if setup.contender not in pythons:
                one.missing = "not installed"
                continue
            print(f"  loading {setup.contender}, threads: {setup.threads}", file=sys.stderr)
            worker = Worker(setup, pythons[setup.contender], place / f"worker-{setup.threads}-{number}.log")
            workers.append((worker, one))
            _each(workers[-1:], lambda worker, one: one.versions.update(worker.reply()["versions"]))
        yield workers
    finally:
        for worker, _ in workers:
            worker.close()


def worker_environment(threads: int) -> dict[str, str]:
    """Every library is held to so many threads, on the CPU, with no hub."""
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONHOME"},
        **dict.fromkeys(_THREAD_SETTINGS, str(threads)),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "DISABLE_MLFLOW_INTEGRATION": "TRUE",  # the project's folder mlflow/ is no package
        "PYTHONPATH": str(ROOT),
    }
