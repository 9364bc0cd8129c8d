"""What a replay found: the same bytes, or predictions within a stated bound, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.metrics import micro_f1
from pipeline.outcomes import label_matrix, split_agents
from pipeline.params import Section
from pipeline.provenance import STAGE_OUTPUT, Provenance
from pipeline.tables import sha256_file
from pipeline.version_folder import MODEL, PREDICTIONS, VersionFolder, made_at

IDENTICAL, WITHIN_BOUND, DIFFERS = "identical", "within bound", "differs"
ENVIRONMENT = "var/stages/train/environment.json"
_KEY = ["prompt_id", "text_sha256"]


class ReplayParams(Section):
    """How far a replay on another machine may be from the original."""

    agreement: float = Field(ge=0, le=1)
    micro_f1: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Drift:
    """How two routers' holdout predictions differ: share of equal choices, largest and mean probability change."""

    prompts: int
    agreement: float
    largest: float
    mean: float
    micro_f1_before: float
    micro_f1_after: float


@dataclass(frozen=True)
class Comparison:
    """One file of the version: sha256 as recorded and as made again (empty where it was not made)."""

    path: str
    recorded: str
    replayed: str

    @property
    def same(self) -> bool:
        return self.recorded == self.replayed


def compare_files(provenance: Provenance, clone: Path) -> list[Comparison]:
    """The model's files and every stage's outputs, as recorded and as a replay's clone holds them.

    The environment's fingerprint is no output to compare: it is what tells which verdict a difference gets.
    """
    stages = clone / "var" / "stages"
    model = {name: digest for name, digest in provenance.subjects.items() if name.startswith(f"{MODEL}/")}
    found = [_compared(name, digest, made_at(stages, name.removeprefix(f"{MODEL}/"))) for name, digest in model.items()]
    outputs = [m for m in provenance.of(STAGE_OUTPUT) if not m.notes["md5"].endswith(".dir") and m.name != ENVIRONMENT]
    return found + [_compared(m.name, m.digest["sha256"], clone / m.name) for m in outputs]


def _compared(name: str, recorded: str, path: Path) -> Comparison:
    return Comparison(name, recorded, sha256_file(path) if path.is_file() else "")


def drift(folder: VersionFolder, clone: Path) -> Drift:
    """How far the replayed router's holdout predictions are from the recorded ones.

    Raises:
        VerificationFailed: the recorded ones cannot be read.
    """
    before = folder.table(PREDICTIONS).set_index(_KEY)
    after = pd.read_parquet(clone / "var" / "stages" / "evaluate" / "predictions.parquet").set_index(_KEY)
    after = after.loc[before.index]
    names = tuple(name for name in before.columns if name not in ("agents", "chosen"))
    truth, ours, theirs = (_matrix(cells, names) for cells in (before["agents"], before["chosen"], after["chosen"]))
    change = np.abs(before[list(names)].to_numpy() - after[list(names)].to_numpy())
    return Drift(
        prompts=len(before),
        agreement=float((ours == theirs).all(axis=1).mean()),
        largest=float(change.max()),
        mean=float(change.mean()),
        micro_f1_before=micro_f1(truth, ours),
        micro_f1_after=micro_f1(truth, theirs),
    )


def _matrix(cells: pd.Series, names: tuple[str, ...]) -> Any:
    return label_matrix([split_agents(str(cell)) for cell in cells], names) > 0.5


def verdict(files: list[Comparison], found: Drift, same_environment: bool, params: ReplayParams) -> str:
    """IDENTICAL where every file is; on the same machine anything less DIFFERS; elsewhere the bound decides."""
    if all(file.same for file in files):
        return IDENTICAL
    close = found.agreement >= params.agreement and abs(found.micro_f1_after - found.micro_f1_before) <= params.micro_f1
    return WITHIN_BOUND if close and not same_environment else DIFFERS
