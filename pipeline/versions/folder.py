"""A version's folder: what is signed, and registered as a whole.

    router/
      model/            the router that answers, as `train` saved it; `engine/` is its encoder as `optimize` made it
      evidence/         what is known about how it was made; no prompt's text is in it
      provenance.json   in-toto statement over every file above and all that went in
    router.sig          the signature over `router/`

Law: nothing in the folder changes after it was signed. Erasing rows removes the files that keep something of training
prompts (`pipeline/routers/base/protocol.py`), each as a whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.encoders.engine_files import ENGINE
from pipeline.runtime.checksums import file_digests
from pipeline.runtime.errors import TableError, VerificationFailed
from pipeline.runtime.plain import parsed
from pipeline.runtime.stage import Summary
from pipeline.runtime.tables import read_json, read_table, sha256_file, write_json, write_table, write_text, write_whole
from pipeline.runtime.track import MODELS, Track, track_of
from pipeline.versions.outcome_cells import best_in, graded_in, has_cells
from pipeline.versions.provenance import Build, Provenance, read_provenance, statement

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.gating.results import GateResult
    from pipeline.metrics.holdout_figures import HoldoutFigures

FOLDER, SIGNATURE = "router", "router.sig"
DESCRIPTION = "router.json"
MODEL, EVIDENCE, PROVENANCE = "model", "evidence", "provenance.json"
LINEAGE, PREDICTIONS, METRICS, VERDICT = "lineage.parquet", "predictions.parquet", "metrics.json", "verdict.json"
OUTCOMES = "outcomes.parquet"
"""What was graded on the prompts of a models' version: learnt from, joined by and judged on."""
SUSPECTS, SUMMARIES = "suspects.parquet", "summaries.json"
CARD, MATERIALS = "model_card.md", "bom.cdx.json"
T = TypeVar("T")
Describe = Callable[[dict[str, str]], dict[str, str]]
_FROM_STAGES = {
    LINEAGE: "lineage/lineage.parquet",
    PREDICTIONS: "evaluate/predictions.parquet",
    METRICS: "evaluate/metrics.json",
    VERDICT: "gate/verdict.json",
}
_FROM_CLONE = ("params.yaml", "dvc.lock", "data/agents.yaml", "data/holdout.txt")
_REVIEWS = "data/label_reviews.csv"


def assemble(clone: Path, build: Build, folder: Path, describe: Describe) -> Path:
    """Write the folder from a finished night's clone; returns it. An older one at the same place is replaced.

    `describe` makes further texts of the evidence, by name, from the sha256 of the files that are there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    track = track_of(build.run_key)
    evidence, stages = folder / EVIDENCE, clone / track.stages
    evidence.mkdir(parents=True)
    for name in ("", ENGINE):
        shutil.copytree(made_at(clone, track, name), folder / MODEL / name)
    for name, source in _FROM_STAGES.items():
        shutil.copyfile(stages / source, evidence / name)
    for source in _FROM_CLONE:
        shutil.copyfile(clone / source, evidence / Path(source).name)
    if (stages / "label_noise").is_dir():
        suspects = read_table(suspects_in(stages)).drop(columns=["prompt", "phrase", "line"])
        write_table(suspects, evidence / SUSPECTS)
        shutil.copyfile(clone / _REVIEWS, evidence / Path(_REVIEWS).name)
    if track is MODELS:
        write_table(_graded(stages, track), evidence / OUTCOMES)
    write_json(summaries(stages), evidence / SUMMARIES)
    for name, text in describe(digests(folder)).items():
        write_text(text, evidence / name)
    content = statement(build, digests(folder))
    write_whole(folder / PROVENANCE, lambda path: path.write_bytes(content))
    return folder


def _graded(stages: Path, track: Track) -> pd.DataFrame:
    """Every outcome that a night learnt from, took in later or judged by."""
    import pandas as pd

    from pipeline.data.stage_rows import JOINING, outcomes_beside

    learnt, held_out = (outcomes_beside(stages / name) for name in (track.learnt, track.held_out))
    return pd.concat([pd.read_parquet(path) for path in (learnt, stages / "split" / JOINING, held_out)])


def suspects_in(stages: Path) -> Path:
    """The table of a night's suspects. Nights of code without the stage `suspects` have it with `label_noise`."""
    path = stages / "suspects" / SUSPECTS
    return path if path.is_file() else stages / "label_noise" / SUSPECTS


def made_at(clone: Path, track: Track, name: str) -> Path:
    """Where a night made a file of the model, named from the model's folder."""
    made_by = "optimize" if name.split("/")[0] == ENGINE else track.router
    return clone / track.stages / made_by / name


def train_rows(figures: dict[str, Summary]) -> int:
    """How many real rows a router learnt from, by the stages' summaries."""
    return int(str(figures["label_noise" if "label_noise" in figures else "split"]["train"]))


def router_sha256(figures: dict[str, Summary]) -> str:
    """The digest of the router's folder, by the stages' summaries."""
    return str(figures["join" if "join" in figures else "train"]["router_sha256"])


def summaries(stages: Path) -> dict[str, Summary]:
    """Each stage's summary, by stage."""
    return {path.parent.name: read_json(path) for path in sorted(stages.glob("*/summary.json"))}


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file of a version's folder but the provenance, by path."""
    return {name: digest for name, digest in file_digests(folder).items() if name != PROVENANCE}


@dataclass(frozen=True)
class VersionFolder:
    """Reads a version's folder. Every reader raises VerificationFailed where a file is missing or damaged."""

    root: Path

    @property
    def model(self) -> Path:
        return self.root / MODEL

    @property
    def signature(self) -> Path:
        return self.root.parent / SIGNATURE

    def provenance(self) -> Provenance:
        return read_provenance(self.root / PROVENANCE)

    def provenance_sha256(self) -> str:
        try:
            return sha256_file(self.root / PROVENANCE)
        except OSError as error:
            raise VerificationFailed(f"{self.root / PROVENANCE} cannot be read; do not use that version") from error

    def table(self, name: str) -> pd.DataFrame:
        """One of the evidence's tables; where older versions wrote outcomes as text, with the best candidates."""
        table = self._table(name)
        if name in (LINEAGE, PREDICTIONS) and has_cells(self.root / EVIDENCE):
            return table.assign(agents=[best_in(str(cell)) for cell in table["agents"]])
        return table

    @property
    def keeps_outcomes(self) -> bool:
        """Whether it holds every outcome that it was made with: versions of the models' track do, but for old ones."""
        return (self.root / EVIDENCE / OUTCOMES).is_file()

    def graded(self) -> pd.DataFrame:
        """The outcomes by which a models' version was judged, and in later ones those that it learnt from.

        Columns: `prompt_id, candidate, quality, cost`.
        """
        if not has_cells(self.root / EVIDENCE):
            return self._table(OUTCOMES)
        try:
            return graded_in(self._table(PREDICTIONS))
        except (TableError, KeyError) as error:
            raise VerificationFailed(f"{self.root / EVIDENCE / PREDICTIONS} cannot be read ({error})") from error

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        path = self.root / EVIDENCE / name
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise VerificationFailed(f"{path} cannot be read; see 'switchtender verify'") from error

    def summaries(self) -> dict[str, Summary]:
        """Each stage's summary, by stage."""
        return self._parsed(SUMMARIES, lambda content: parsed(dict[str, Summary], content))

    def figures(self) -> HoldoutFigures:
        """What metrics.json says of its holdout."""
        from pipeline.metrics.holdout_figures import read_figures  # numpy, which `trace` need not wait for

        return self._parsed(METRICS, read_figures)

    def gates(self) -> tuple[GateResult, ...]:
        """What each gate found on its night."""
        from pipeline.gating.results import parse_verdict  # pandas, likewise

        return self._parsed(VERDICT, parse_verdict).gates

    def _parsed(self, name: str, parse: Callable[[object], T]) -> T:
        """What `parse` makes of one of the evidence's JSON files."""
        path = self.root / EVIDENCE / name
        try:
            return parse(read_json(path))
        except (ValueError, KeyError, TypeError) as error:
            reason = f"{path} is not what a night writes ({' '.join(str(error).split())[:160]})"
            raise VerificationFailed(f"{reason}; see 'switchtender verify'") from error

    def text(self, name: str) -> str:
        """One of the evidence's text files."""
        path = self.root / EVIDENCE / name
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise VerificationFailed(f"{path} cannot be read; see 'switchtender verify'") from error
