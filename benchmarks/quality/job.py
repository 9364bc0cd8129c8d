"""One fit in a process of its own, in either environment: what is asked and what is answered, as files.

Nothing here needs more than Python.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.runtime.device import Device

JOB, REPLY = "job.json", "reply.json"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "setfit", "semantic-router", "scikit-learn")
Labels = list[list[int]]
"""Of each prompt the numbers of its agents."""


@dataclass(frozen=True)
class Job:
    """Learn from n prompts, then answer others.

    `settings` are the system's own; `folds` number the rows for what is chosen on held-out ones. `reworded` are the
    asked prompts in other words, by what was done to them.
    """

    system: str
    settings: dict[str, Any]
    seed: int
    threads: int
    agents: list[str]
    prompts: list[str]
    labels: Labels
    folds: list[int]
    asked: list[str]
    encoder: str
    max_tokens: int
    reworded: dict[str, list[str]] = field(default_factory=dict)
    device: Device = "cpu"

    def write(self, folder: Path) -> None:
        (folder / JOB).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        return cls(**json.loads((folder / JOB).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Answer:
    """The agents chosen for each asked prompt, and the seconds that fitting took.

    On a GPU `cpu_seconds` say nothing, and are None. `expected` is the mean probability of each agent over the asked
    prompts, where the system gives probabilities. `moved` are the numbers of the prompts whose choice another wording
    changed.
    """

    chosen: Labels
    wall_seconds: float
    cpu_seconds: float | None
    expected: list[float] | None = None
    moved: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """The answer, and the libraries and the GPU at work."""

    answer: Answer
    versions: dict[str, str] = field(default_factory=dict)
    gpu: str = ""

    def write(self, folder: Path) -> None:
        (folder / REPLY).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Reply:
        return cls.from_plain(json.loads((folder / REPLY).read_text(encoding="utf-8")))

    @classmethod
    def from_plain(cls, value: dict[str, Any]) -> Reply:
        """The inverse of `asdict`."""
        return cls(Answer(**value["answer"]), value["versions"], value["gpu"])


@dataclass
class Seconds:
    """How long something took."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


@contextmanager
def timed() -> Iterator[Seconds]:
    """Wall and CPU seconds of the block, those of child processes that ended in it included."""
    took, cpu, start = Seconds(), _cpu(), time.perf_counter()
    yield took
    took.wall, took.cpu = time.perf_counter() - start, _cpu() - cpu


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def versions() -> dict[str, str]:
    """Of the libraries that this process loaded."""
    modules = {"scikit-learn": "sklearn"}
    return {name: version(name) for name in LIBRARIES if modules.get(name, name.replace("-", "_")) in sys.modules}


def numbers(rows: Iterable[Iterable[Any]]) -> Labels:
    """Of each row of a matrix of truth values the columns that hold."""
    return [[column for column, holds in enumerate(row) if holds] for row in rows]
