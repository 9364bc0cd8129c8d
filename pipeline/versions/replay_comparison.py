"""What a replay found: the same bytes, or predictions within a stated bound, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import candidates_in, named_matrix, truth_in
from pipeline.metrics.multilabel import headline
from pipeline.runtime.params import Section
from pipeline.runtime.tables import sha256_file
from pipeline.runtime.track import AGENTS, Track, track_of
from pipeline.versions.folder import MODEL, PREDICTIONS, VersionFolder, made_at
from pipeline.versions.provenance import STAGE_OUTPUT, Provenance

IDENTICAL, WITHIN_BOUND, DIFFERS = "identical", "within bound", "differs"
ENVIRONMENT = "train/environment.json"
_KEY = ["prompt_id", "text_sha256"]


class ReplayParams(Section):
    """How far a replay on another machine may be from the original."""

    agreement: float = Field(ge=0, le=1)
    headline: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class PredictionDrift:
    """How two routers' holdout predictions differ: share of equal choices, largest and mean change of a score, and the
    track's headline figure (micro-F1, or the chosen quality) before and after.
    """

    prompts: int
    agreement: float
    largest: float
    mean: float
    headline_before: float
    headline_after: float


@dataclass(frozen=True)
class FileComparison:
    """One file of the version: sha256 as recorded and as made again (empty where it was not made)."""

    path: str
    recorded: str
    replayed: str

    @property
    def same(self) -> bool:
        return self.recorded == self.replayed


def compare_files(provenance: Provenance, clone: Path) -> list[FileComparison]:
    """The model's files and every stage's outputs, as recorded and as a replay's clone holds them.

    The environment's fingerprint is no output to compare: it is what tells which verdict a difference gets.
    """
    track = track_of(provenance.run_key)
    environment = (track.stages / ENVIRONMENT).as_posix()
    model = {name: digest for name, digest in provenance.subjects.items() if name.startswith(f"{MODEL}/")}
    found = [
        _compared(name, digest, made_at(clone, track, name.removeprefix(f"{MODEL}/"))) for name, digest in model.items()
    ]
    outputs = [m for m in provenance.of(STAGE_OUTPUT) if not m.notes["md5"].endswith(".dir") and m.name != environment]
    return found + [_compared(m.name, m.digest["sha256"], clone / m.name) for m in outputs]


def _compared(name: str, recorded: str, path: Path) -> FileComparison:
    """A file as a replay's clone holds it, beside what was recorded."""
    return FileComparison(name, recorded, sha256_file(path) if path.is_file() else "")


def drift(folder: VersionFolder, clone: Path, track: Track = AGENTS) -> PredictionDrift:
    """How far the replayed router's holdout predictions are from the recorded ones.

    Raises:
        VerificationFailed: the recorded ones cannot be read.
    """
    recorded = folder.table(PREDICTIONS)
    names, before = candidates_in(recorded), recorded.set_index(_KEY)
    after = pd.read_parquet(clone / track.stages / "evaluate" / "predictions.parquet").set_index(_KEY)
    after = after.loc[before.index]
    ours, theirs = (named_matrix(cells, names) for cells in (before["chosen"], after["chosen"]))
    first = headline(truth_in(recorded, names, None if track is AGENTS else folder.graded()))
    change = np.abs(before[list(names)].to_numpy() - after[list(names)].to_numpy())
    return PredictionDrift(
        prompts=len(before),
        agreement=float((ours == theirs).all(axis=1).mean()),
        largest=float(change.max()),
        mean=float(change.mean()),
        headline_before=first.statistic(first.truth, ours),
        headline_after=first.statistic(first.truth, theirs),
    )


def verdict(files: list[FileComparison], found: PredictionDrift, same_environment: bool, params: ReplayParams) -> str:
    """IDENTICAL where every file is; on the same machine anything less DIFFERS; elsewhere the bound decides."""
    if all(file.same for file in files):
        return IDENTICAL
    close = found.agreement >= params.agreement and abs(found.headline_after - found.headline_before) <= params.headline
    return WITHIN_BOUND if close and not same_environment else DIFFERS
