"""Stage `augment`: a few more training rows for rare agents, each naming its parents and its method.

Two methods, both on the text alone: `compose` joins a rare agent's prompt with another's, as people do in one
message; `surface` retypes a prompt hastily (case, punctuation, slips of the keys). A new row must look like its
label to heads that have seen none of its parents, and must keep its distance from the holdout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.fates import AUGMENTED, REFUSED, TRAIN, Fate, fate_of, write_fates
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import Outcomes, from_labels
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.similarity import nearest
from pipeline.learning.augmentation import composed, retyped
from pipeline.learning.linear_heads import apply_heads, fit_heads
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_table
from pipeline.runtime.text import folded

NAME = "augment"
COMPOSE, SURFACE = "compose", "surface"
_MAX_TOKENS = 256


class AugmentationParams(Section):
    """For whom rows are made, how many, and what they must pass."""

    enabled: bool
    encoder: str
    agents_below: int = Field(ge=0)
    rows_per_agent: int = Field(ge=0)
    max_per_parent: int = Field(ge=1)
    min_consistency: float = Field(ge=0, le=1)
    holdout_cosine: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class ProposedRow:
    """A proposed row: its parents' row numbers in train, its text and its label."""

    agent: str
    method: str
    parents: tuple[int, ...]
    prompt: str
    agents: tuple[str, ...]


def augment(params: AugmentationParams, seed: int) -> Summary:
    """Write train with the accepted rows appended; each row that was looked at has a fate (augmented, or
    refused with a reason); past `rows_per_agent` none is.
    """
    train = read_table(STAGES / "label_noise" / "train.parquet").drop(columns="line")
    holdout = read_table(STAGES / "label_noise" / "holdout.parquet")
    plain = train.assign(parents="", method="")
    if not params.enabled:
        write_table(plain, STAGES / NAME / "train.parquet")
        write_fates(NAME, [])
        return {"train": len(train), "augmented": 0, "refused": 0}
    outcomes = from_labels(train, [agent.name for agent in read_agents()])
    folds = train["fold"].to_numpy()
    proposed = list(propose(outcomes, folds, params, np.random.default_rng(seed)))
    checks = _Checks(outcomes, folds, list(holdout["prompt"]), params)
    rows, fates, used = [], [], dict.fromkeys(range(len(train)), 0)
    made: dict[str, int] = dict.fromkeys(outcomes.candidates, 0)
    for number, (row, reason) in enumerate(zip(proposed, checks.reasons(proposed), strict=True), start=1):
        if made[row.agent] >= params.rows_per_agent:
            continue
        if not reason and any(used[parent] >= params.max_per_parent for parent in row.parents):
            reason = f"a parent already has {params.max_per_parent} rows"
        fate = _fate(row, number, reason, train)
        fates.append(fate)
        if not reason:
            made[row.agent] += 1
            for parent in row.parents:
                used[parent] += 1
            rows.append(_row(row, fate, train))
    write_table(
        pd.concat([plain, pd.DataFrame(rows, columns=plain.columns)], ignore_index=True),
        STAGES / NAME / "train.parquet",
    )
    write_fates(NAME, fates)
    return {"train": len(train) + len(rows), "augmented": len(rows), "refused": len(fates) - len(rows)}


def propose(
    outcomes: Outcomes, folds: Indices, params: AugmentationParams, generator: np.random.Generator
) -> Iterator[ProposedRow]:
    """Rows for each agent with few prompts, methods in turn; partners come from the parent's own fold."""
    names, texts, labels = outcomes.candidates, outcomes.prompts, outcomes.quality > 0.5
    single = labels.sum(axis=1) == 1
    for column, agent in enumerate(names):
        parents = np.flatnonzero(labels[:, column]).tolist()
        if not 0 < len(parents) < params.agents_below:
            continue
        for attempt in range(3 * params.rows_per_agent):
            parent = parents[attempt % len(parents)]
            partners = np.flatnonzero(single & (folds == folds[parent]) & ~labels[:, column])
            if not outcomes.is_exclusive and attempt % 2 == 0 and len(partners) and single[parent]:
                partner = int(generator.choice(partners))
                text, both = composed(texts[parent], texts[partner], generator), labels[parent] | labels[partner]
                yield ProposedRow(agent, COMPOSE, (parent, partner), text, _asked(both, names))
            else:
                text = retyped(texts[parent], generator)
                yield ProposedRow(agent, SURFACE, (parent,), text, _asked(labels[parent], names))


def _asked(labels: Binary, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, asked in zip(names, labels, strict=True) if asked)


class _Checks:
    """Says why a proposed row is refused, or nothing. Heads are fitted once a fold, without that fold's rows."""

    def __init__(self, outcomes: Outcomes, folds: Indices, holdout: list[str], params: AugmentationParams) -> None:
        self.outcomes, self.folds, self.params, self.names = outcomes, folds, params, outcomes.candidates
        self.embedding = FrozenEmbedding(params.encoder, _MAX_TOKENS, "augment.encoder")
        self.vectors = self.embedding.embed(self.outcomes.prompts)
        self.holdout = self.embedding.embed(holdout)

    def reasons(self, proposed: list[ProposedRow]) -> list[str]:
        """One reason a row, empty where it passes."""
        if not proposed:
            return []
        vectors = self.embedding.embed([row.prompt for row in proposed])
        _, near = nearest(vectors, self.holdout)
        scores = self._scores_without_parents(proposed, vectors)
        return [self._reason(*each) for each in zip(proposed, scores, near.tolist(), strict=True)]

    def _scores_without_parents(self, proposed: list[ProposedRow], vectors: FloatMatrix) -> FloatMatrix:
        scores = np.zeros((len(proposed), len(self.names)), dtype=np.float32)
        fold_of = np.array([self.folds[row.parents[0]] for row in proposed])
        for fold in np.unique(fold_of):
            others = np.flatnonzero(self.folds != fold)
            heads = fit_heads(self.vectors[others], self.outcomes.rows(others), 1.0, balanced=True)
            scores[fold_of == fold] = apply_heads(vectors[fold_of == fold], *heads)
        return scores

    def _reason(self, row: ProposedRow, scores: FloatMatrix, near_holdout: float) -> str:
        if folded(row.prompt) in {folded(self.outcomes.prompts[parent]) for parent in row.parents}:
            return "says what its parent says"
        if near_holdout >= self.params.holdout_cosine:
            return f"cosine {near_holdout:.2f} to a holdout prompt"
        inside = [self.names.index(name) for name in row.agents]
        outside = np.setdiff1d(np.arange(len(self.names)), inside)
        consistency = min(float((scores[outside] < scores[i]).mean()) for i in inside) if len(outside) else 1.0
        return f"label consistency {consistency:.2f}" if consistency < self.params.min_consistency else ""


def _fate(row: ProposedRow, number: int, reason: str, train: pd.DataFrame) -> Fate:
    return fate_of(
        f"a{number:04d}",
        row.prompt,
        REFUSED if reason else AUGMENTED,
        reason=reason,
        split=TRAIN,
        agents=SEPARATOR.join(row.agents),
        parents=SEPARATOR.join(train["prompt_id"].iloc[i] for i in row.parents),
        method=row.method,
    )


def _row(row: ProposedRow, fate: Fate, train: pd.DataFrame) -> dict[str, object]:
    parent = train.iloc[row.parents[0]]
    return {
        **{str(name): value for name, value in parent.items()},
        "prompt_id": fate.prompt_id,
        "prompt": row.prompt,
        "agents": fate.agents,
        "source": NAME,
        "parents": fate.parents,
        "method": row.method,
    }


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return augment(read("augment", AugmentationParams), run.seed)


if __name__ == "__main__":
    run_stage(NAME, _run)
