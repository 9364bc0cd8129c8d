"""What a version's folder tells about its making: rows and their fates, label decisions, metrics and gates."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.data.agents import read_agents
from pipeline.data.fates import (
    AUGMENTED,
    EXCLUDED,
    FLAGGED,
    HOLDOUT,
    KEPT,
    QUARANTINED,
    REFUSED,
    RELABELLED,
    TRAIN,
)
from pipeline.data.label_reviews import COLUMNS, facts_of
from pipeline.data.outcomes import split_agents
from pipeline.gating.results import GateResult
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.multilabel import CandidateScores
from pipeline.routers.systems import training_material_in
from pipeline.runtime.errors import InputError, VerificationFailed, listed
from pipeline.runtime.tables import read_json
from pipeline.runtime.track import AGENTS, Track, track_of
from pipeline.versions.folder import DESCRIPTION, EVIDENCE, LINEAGE, SUSPECTS, VersionFolder
from pipeline.versions.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

FATES = (KEPT, FLAGGED, RELABELLED, EXCLUDED, QUARANTINED, AUGMENTED, REFUSED)
SPLITS = (TRAIN, HOLDOUT)
NO_AGENT = "(no agent)"
IN_FORCE, SUPERSEDED, STALE = "in force", "superseded", "stale"


@dataclass(frozen=True)
class AgentRows:
    """The rows whose label names one agent, or on which one language model did best: how many had each fate, how many
    taught the router or test it.

    A row of two agents, or of two models that did equally well, counts under both. `f1` is that of an agent on the
    holdout; None of a model, and where neither the holdout nor the router names the agent.
    """

    agent: str
    fates: dict[str, int]
    taught: int
    holdout: int
    f1: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether holdout prompts ask for it and the router finds none of them."""
        return self.f1 == 0.0 and self.holdout > 0


@dataclass(frozen=True)
class LabelSuspect:
    """A label that looks wrong to models which had not seen the row; `quality` is in 0..1, low is bad.

    `doubted` and `missing` are `agent probability` pairs as text, `review` is what a person has decided.
    """

    rank: int
    prompt_id: str
    quality: float
    agents: str
    doubted: str
    missing: str
    suggested: str
    review: str


@dataclass(frozen=True)
class Review:
    """A person's decision on a label. `standing` is IN_FORCE, SUPERSEDED by a later one on the same text, or STALE.

    Stale: the row is gone or its text has changed, so that the decision did nothing.
    """

    prompt_id: str
    text_sha256: str
    decision: str
    agents: str
    reviewer: str
    reviewed_on: str
    note: str
    standing: str


@dataclass(frozen=True)
class VersionFacts:
    """All that an audit takes from the folder. `rows` is the lineage, one row for every row ever in play.

    `metrics` stand by name and `gains` by baseline; `suspects` are the label suspects, the least credible first;
    `prompts` counts those of the holdout; `headline` names the metric to show first; `training_material` are the files
    of the model's folder that keep something of training prompts, by what is there now.
    """

    provenance: Provenance
    provenance_sha256: str
    rows: pd.DataFrame
    fates: dict[str, int]
    agents: tuple[AgentRows, ...]
    suspects: tuple[LabelSuspect, ...]
    reviews: tuple[Review, ...]
    metrics: dict[str, Estimate]
    gains: dict[str, Estimate]
    prompts: int
    gates: tuple[GateResult, ...]
    headline: str = AGENTS.headline
    training_material: tuple[str, ...] = ()

    @property
    def taught(self) -> int:
        """How many rows the router learnt from."""
        return int(self.rows["taught"].sum())

    def split(self, name: str) -> int:
        """How many rows are in train or in the holdout."""
        return int((self.rows["split"] == name).sum())

    @property
    def seen_fates(self) -> list[str]:
        """The fates that some row had."""
        return [fate for fate, count in self.fates.items() if count]

    def gates_against(self, champion: bool) -> list[GateResult]:
        """The gates that held it against the champion of its night, or the others."""
        return [gate for gate in self.gates if (gate.against == "champion") is champion]


@dataclass(frozen=True)
class RowFilter:
    """Which rows are asked for; an empty field asks for all."""

    agent: str = ""
    fate: str = ""
    split: str = ""


def read_version(folder: VersionFolder) -> VersionFacts:
    """Everything at once, as it was recorded; whether the bytes are sound is another question.

    Raises:
        VerificationFailed: a file is missing, damaged, or not what a night writes.
    """
    try:
        rows, figures, provenance = folder.table(LINEAGE), folder.figures(), folder.provenance()
        track = track_of(provenance.run_key)
        of_agents = track is AGENTS
        names = _candidates(folder, track)
        return VersionFacts(
            provenance=provenance,
            provenance_sha256=folder.provenance_sha256(),
            rows=rows,
            fates=count_fates(rows),
            agents=_scored(count_agents(rows, names), figures.per_agent),
            suspects=_suspects(folder.table(SUSPECTS)) if of_agents else (),
            reviews=read_decisions(folder.text("label_reviews.csv"), rows) if of_agents else (),
            metrics=figures.router,
            gains=figures.gains,
            prompts=figures.prompts,
            gates=folder.gates(),
            headline=track.headline,
            training_material=tuple(found.file for found in training_material_in(folder.model)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise VerificationFailed(
            f"{folder.root / EVIDENCE} is not what a night writes ({' '.join(str(error).split())[:120]}); "
            "see 'switchtender verify'"
        ) from error


def _candidates(folder: VersionFolder, track: Track) -> list[str]:
    """The agents of its day, or the language models that it knows."""
    if track is AGENTS:
        return [agent.name for agent in read_agents(folder.root / EVIDENCE / "agents.yaml")]
    return list(read_json(folder.model / DESCRIPTION)["candidates"])


def count_fates(rows: pd.DataFrame) -> dict[str, int]:
    """How many rows had each fate, in FATES' order; a fate that no row had counts 0."""
    counts = Counter(rows["fate"])
    return {fate: int(counts[fate]) for fate in FATES}


def count_agents(rows: pd.DataFrame, names: list[str]) -> tuple[AgentRows, ...]:
    """The same by agent: the known ones in their order, then others that a row in quarantine may name."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for row in rows[["agents", "fate", "taught", "split"]].to_dict("records"):
        for agent in dict.fromkeys(split_agents(str(row["agents"])) or (NO_AGENT,)):
            count = found.setdefault(agent, Counter())
            count.update([str(row["fate"])])
            count["taught rows"] += bool(row["taught"])
            count["holdout rows"] += row["split"] == HOLDOUT
    return tuple(
        AgentRows(name, {fate: count[fate] for fate in FATES}, count["taught rows"], count["holdout rows"])
        for name, count in found.items()
    )


def _scored(agents: Sequence[AgentRows], scores: Sequence[CandidateScores]) -> tuple[AgentRows, ...]:
    f1 = {one.candidate: one.f1 for one in scores if one.support or one.f1}
    return tuple(replace(one, f1=f1.get(one.agent)) for one in agents)


def read_decisions(text: str, rows: pd.DataFrame) -> tuple[Review, ...]:
    """Every line of label_reviews.csv, with what became of it.

    Raises:
        KeyError: a column is missing.
    """
    present = set(zip(rows["prompt_id"], rows["text_sha256"], strict=True))
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if missing := set(COLUMNS) - set(reader.fieldnames or ()):
        raise KeyError(f"label_reviews.csv lacks {min(missing)}")
    lines = [facts_of(line) for line in reader]
    latest = {line["prompt_id"]: number for number, line in enumerate(lines)}
    return tuple(
        Review(**line, standing=_standing(line, number == latest[line["prompt_id"]], present))
        for number, line in enumerate(lines)
    )


def _standing(line: dict[str, str], is_latest: bool, present: set[tuple[str, str]]) -> str:
    if not is_latest:
        return SUPERSEDED
    return IN_FORCE if (line["prompt_id"], line["text_sha256"]) in present else STALE


def _suspects(table: pd.DataFrame) -> tuple[LabelSuspect, ...]:
    texts = ("agents", "doubted", "missing", "suggested", "review")
    return tuple(
        LabelSuspect(
            int(row["rank"]), str(row["prompt_id"]), float(row["quality"]), *(str(row[name]) for name in texts)
        )
        for row in table.to_dict("records")
    )


def chosen_rows(facts: VersionFacts, which: RowFilter) -> pd.DataFrame:
    """The rows that a filter asks for.

    Raises:
        InputError: an unknown agent, fate or split; lists the known ones.
    """
    _require("agent", which.agent, [found.agent for found in facts.agents])
    _require("fate", which.fate, list(FATES))
    _require("split", which.split, list(SPLITS))
    rows = facts.rows
    if which.agent:
        wanted = () if which.agent == NO_AGENT else (which.agent,)
        named = [split_agents(str(cell)) for cell in rows["agents"]]
        rows = rows[[which.agent in names or names == wanted for names in named]]
    for column, value in (("fate", which.fate), ("split", which.split)):
        if value:
            rows = rows[rows[column] == value]
    return rows.reset_index(drop=True)


def _require(what: str, value: str, known: list[str]) -> None:
    if value and value not in known:
        raise InputError(f"there is no {what} '{value}'; known are {listed(known)}")


Cell = str | int | float | bool | None


def plain_rows(rows: pd.DataFrame) -> list[dict[str, Cell]]:
    """Rows as plain values, for JSON and for the page."""
    return [
        {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
