"""Measurements as JSON lines, one a fit, a file a table: written as soon as they are there, and read by a next run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.quality.contenders import Contender
from benchmarks.quality.job import Job, Reply, numbers
from benchmarks.quality.rewording import reworded
from benchmarks.quality.tables import SEED, Table, digest
from benchmarks.serving.machine import hardware
from benchmarks.serving.race import ROOT, worker_environment
from pipeline.data.folds import inner_folds
from pipeline.encoders.encoder_files import BUNDLED, locate
from pipeline.routers.base.settings import FinetuningParams
from pipeline.runtime.device import Device
from pipeline.runtime.tables import sha256_file, sha256_text, write_text

_CODE = tuple(ROOT / "pipeline" / room for room in ("encoders", "learning", "policies", "routers"))

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


class Measurements:
    """What is known so far, by a fit's key; of a key that stands twice the last line holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.replies: dict[str, Reply] = {}
        self.codes: dict[str, str] = {}
        self.machines: Counter[str] = Counter()
        self.load = 0.0
        for path in sorted(folder.glob("*.jsonl")):
            for line in _whole_lines(path):
                self._take(json.loads(line))

    def _take(self, row: dict[str, Any]) -> None:
        self.replies[row["key"]] = Reply.from_plain(row["reply"])
        self.codes[row["key"]] = row["code"]
        self.machines[row["machine"]] += 1
        self.load += row["load"]

    def add(self, fit: Fit, reply: Reply, load: float) -> None:
        """Remember, and write at once; `load` is how many processes ran on average as the fit began."""
        code = "" if fit.contender.is_peer else code_digest()
        machine = ", ".join(filter(None, (hardware(), reply.gpu)))
        row = {"key": fit.key, "reply": asdict(reply), "code": code, "machine": machine, "load": load}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{fit.table.name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._take(row)

    def circumstances(self) -> str:
        """On what was measured, and what ran beside it."""
        if not self.machines:
            return "Nothing is measured yet."
        fits = sum(self.machines.values())
        return f"{'; '.join(sorted(self.machines))}. As a fit began, {self.load / fits:.1f} processes ran on average."

    def forget(self, systems: Collection[str]) -> None:
        """Measure these systems anew; what is forgotten stays in the file, before what will be found."""
        for key in [key for key in self.replies if key.split(" ")[3] in systems]:
            del self.replies[key], self.codes[key]

    def older(self, fits: Sequence[Fit]) -> int:
        """How many of these were measured when this project's code for them was another."""
        now = code_digest()
        return sum(self.codes.get(fit.key, "") not in ("", now) for fit in fits)


def _whole_lines(path: Path) -> list[str]:
    """The file's lines; what a killed run left of one is cut off."""
    *lines, rest = path.read_text(encoding="utf-8").split("\n")
    if rest:
        write_text("".join(f"{line}\n" for line in lines), path)
    return lines


@cache
def code_digest() -> str:
    """Of what this project's systems are made of."""
    files = sorted(path for room in _CODE for path in room.rglob("*.py"))
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
