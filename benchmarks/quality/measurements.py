"""Measurements as JSON lines, one a fit, a file a table: written as soon as they are there, and read by a next run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.quality.contenders import Contender
from benchmarks.quality.job import Answer, Job, Reply, numbers
from benchmarks.quality.rewording import reworded
from benchmarks.quality.tables import SEED, Table, digest
from benchmarks.serving.machine import hardware
from benchmarks.serving.race import ROOT, worker_environment
from pipeline.data.folds import inner_folds
from pipeline.encoders.encoder_files import BUNDLED, locate
from pipeline.routers.base.settings import FinetuningParams
from pipeline.runtime.device import Device
from pipeline.runtime.tables import sha256_file, sha256_text, write_text

_CODE = ("data", "encoders", "learning", "policies", "routers")
_HERE = Path(__file__).parent
_GPUS = "CUDA_VISIBLE_DEVICES"
PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""As the command line and a night set it before torch is imported."""


class Gone(Exception):
    """A worker ended without a reply; says why in one line."""


@dataclass(frozen=True)
class Fit:
    """One contender on one split of a table, with one seed."""

    table: Table
    split: int
    contender: Contender
    seed: int

    @property
    def key(self) -> str:
        """What tells it from every other: the rows, the system with all its settings, the seed."""
        settings = json.dumps(self.contender.settings, sort_keys=True)
        rows = digest(self.table.splits[self.split])
        return f"{self.table.name} {self.split} {rows} {self.contender.system} {settings} {self.seed}"

    def job(self, threads: int, folds: int, device: Device) -> Job:
        """As the worker reads it."""
        train, test = self.table.splits[self.split]
        own = inner_folds(train, folds, SEED)
        other = reworded(test.prompts) if self.contender.is_reworded and self.seed == 0 else {}
        return Job(
            self.contender.system, self.contender.settings, self.seed, threads, list(train.candidates),
            list(train.prompts), numbers(train.quality > 0.5), own.tolist(), list(test.prompts),
            locate(BUNDLED)[0], FinetuningParams().max_tokens, other, device,
        )  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """A fit's reply; the digest of the code that gave it, the machine, and how many processes ran as it began."""

    reply: Reply
    code: str
    machine: str
    load: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> Measurement:
        return cls(Reply.from_plain(row["reply"]), row["code"], row["machine"], row["load"])


class Measurements:
    """What is known so far, by a fit's key; of a key that stands twice the last line holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (line for path in sorted(folder.glob("*.jsonl")) for line in _whole_lines(path))
        self.by_key = {row["key"]: Measurement.of(row) for row in map(json.loads, lines)}

    def __contains__(self, fit: Fit) -> bool:
        return fit.key in self.by_key

    def answer(self, fit: Fit) -> Answer:
        return self.by_key[fit.key].reply.answer

    def add(self, fit: Fit, reply: Reply, load: float) -> None:
        """Remember, and write at once; `load` is how many processes ran on average as the fit began."""
        machine = ", ".join(filter(None, (hardware(), reply.gpu)))
        found = Measurement(reply, code_digest(fit.contender.is_peer), machine, load)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file(fit).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": fit.key, **asdict(found)}, separators=(",", ":")) + "\n")
        self.by_key[fit.key] = found

    def forget(self, fits: Sequence[Fit]) -> None:
        """Take these out of the files, so that they are measured anew also where that is stopped."""
        gone = {fit.key for fit in fits if self.by_key.pop(fit.key, None)}
        for path in {self._file(fit) for fit in fits if fit.key in gone}:
            kept = [line for line in _whole_lines(path) if json.loads(line)["key"] not in gone]
            write_text("".join(f"{line}\n" for line in kept), path)

    def _file(self, fit: Fit) -> Path:
        return self.folder / f"{fit.table.name}.jsonl"

    def circumstances(self) -> str:
        """On what was measured, by how many states of the code, and what ran beside it."""
        if not self.by_key:
            return "Nothing is measured yet."
        found = self.by_key.values()
        machines, codes = sorted({each.machine for each in found}), {each.code for each in found if each.code}
        load = sum(each.load for each in found) / len(found)
        return (
            f"{'; '.join(machines)}. The code had {len(codes)} states meanwhile; "
            f"as a fit began, {load:.1f} processes ran on average."
        )

    def older(self, fits: Sequence[Fit]) -> int:
        """How many of these were measured when the code for them was another."""
        return sum(self.by_key[fit.key].code != code_digest(fit.contender.is_peer) for fit in fits if fit in self)


def _whole_lines(path: Path) -> list[str]:
    """The file's lines; what a killed run left of one is cut off."""
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    if rest:
        write_text("".join(f"{line}\n" for line in lines), path)
    return lines


@cache
def code_digest(is_peer: bool) -> str:
    """Of what this project's systems are made of, or of what asks the peers."""
    rooms = (ROOT / "pipeline" / room for room in _CODE)
    files = (
        sorted(_HERE.glob("peer_*.py")) if is_peer else sorted(path for room in rooms for path in room.rglob("*.py"))
    )
    return sha256_text("".join(f"{path.relative_to(ROOT)} {sha256_file(path)}\n" for path in files))[:16]


def measured(
    fit: Fit, python: Path, threads: int, more: Mapping[str, str] | None = None, device: Device = "cpu"
) -> Reply:
    """Do one fit in a process of its own, with `more` in its environment.

    Raises:
        Gone: it ended without a reply.
    """
    with tempfile.TemporaryDirectory(prefix="switchtender-quality-") as place:
        folder = Path(place)
        fit.job(threads, FinetuningParams().folds, device).write(folder)
        command = [str(python), "-m", "benchmarks.quality.worker", place]
        where = folder if fit.contender.is_peer else ROOT
        environment = {**_environment(fit.contender, threads, device), **(more or {})}
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise Gone(f"it ended with {done.returncode}: {' '.join(last)[:200]}")
        return Reply.read(folder)


def _environment(contender: Contender, threads: int, device: Device) -> dict[str, str]:
    """A worker's, which hides every GPU; where one is to be used it sees those that this process may see."""
    found = {**worker_environment(threads), **({} if contender.is_peer else PASSIVE_WAIT)}
    if device == "cuda":
        del found[_GPUS]
        found |= {name: value for name, value in os.environ.items() if name == _GPUS}
    return found
