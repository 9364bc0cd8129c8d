"""Stage `label_noise`: people's decisions applied, and what looks poisoned or, if so set, plainly wrong put aside.

Each train row is judged by class-balanced linear heads that did not see its fold, one set on frozen embeddings and one
on weighted words; their probabilities go on to `suspects`, which ranks the labels for people once networks are trained.
Rows that share a phrase with a grip on their agent, as a planted trigger has, leave train, unless a person decided
otherwise (docs/results/poisoning.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.fates import (
    EXCLUDED,
    HOLDOUT,
    KEPT,
    QUARANTINED,
    RELABELLED,
    TRAIN,
    Fate,
    fate_of,
    write_fates,
)
from pipeline.data.holdout import named_matrix
from pipeline.data.label_reviews import DROP, RELABEL, LabelReview, decision_on, read_reviews
from pipeline.data.outcomes import from_labels, label_matrix, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.cross_fitting import cross_fit
from pipeline.learning.label_errors import calibrated, rank_suspects, reason_of, vouched
from pipeline.learning.linear_heads import apply_heads, fit_heads
from pipeline.learning.tfidf import fitted_vectorizer
from pipeline.learning.trigger_phrases import trigger_phrases
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_table

NAME = "label_noise"
_MAX_TOKENS = 256
_EMBEDDING_PENALTY, _WORDS_PENALTY = 10.0, 30.0


class LabelNoiseParams(Section):
    """What is done about labels without a person."""

    encoder: str
    action: Literal["flag", "quarantine"]
    quarantine_below: float = Field(ge=0, le=1)
    max_share_per_agent: float = Field(ge=0, le=1)
    rare_below: int = Field(ge=0)
    trigger_grip: float = Field(gt=0, le=1)


def label_noise(params: LabelNoiseParams) -> Summary:
    """Write train and holdout with reviews applied, and how each train row was judged.

    Raises:
        TableError: data/label_reviews.csv is malformed.
    """
    names = tuple(agent.name for agent in read_agents())
    reviews = read_reviews(names)
    train, train_fates = apply_reviews(_split("train"), reviews, TRAIN)
    holdout, holdout_fates = apply_reviews(_split("holdout"), reviews, HOLDOUT)
    vectors = FrozenEmbedding(params.encoder, _MAX_TOKENS, "label_noise.encoder").embed(list(train["prompt"]))
    probabilities = out_of_fold_probabilities(train, names, vectors)
    examined = _examined(train, phrases_with_a_grip(train, names, vectors, params.trigger_grip), reviews)
    ranked = rank_suspects(examined, probabilities, names, len(examined))
    aside = _put_aside(ranked, examined, names, params)
    fates = [_with_reason(fate, aside) for fate in train_fates]
    held_out = pd.DataFrame(probabilities, columns=list(names))
    out = STAGES / NAME
    write_table(train[~train["prompt_id"].isin(aside)], out / "train.parquet")
    write_table(holdout, out / "holdout.parquet")
    write_table(examined.assign(put_aside=examined["prompt_id"].isin(aside)), out / "examined.parquet")
    write_table(pd.concat([train[["prompt_id", "agents"]], held_out], axis=1), out / "held_out.parquet")
    write_fates(NAME, fates + holdout_fates)
    counts = pd.Series([fate.fate for fate in fates + holdout_fates]).value_counts()
    return {
        "train": len(train) - len(aside),
        **{name: int(counts.get(name, 0)) for name in (QUARANTINED, RELABELLED, EXCLUDED)},
        "holdout_rows_changed": sum(fate.fate != KEPT for fate in holdout_fates),
        "stale_reviews": _stale(reviews, train_fates + holdout_fates),
    }


def _split(name: str) -> pd.DataFrame:
    return read_table(STAGES / "split" / f"{name}.parquet").drop(columns="line")


def apply_reviews(rows: pd.DataFrame, reviews: dict[str, LabelReview], split: str) -> tuple[pd.DataFrame, list[Fate]]:
    """Relabel and drop rows as people decided. Returns the rows that stay and each row's fate."""
    rows = rows.copy()
    fates, stays = [], []
    for index, row in rows.iterrows():
        review = decision_on(row, reviews)
        fate, label, reason = KEPT, str(row["agents"]), ""
        if review and review.decision == RELABEL and set(split_agents(label)) != set(split_agents(review.agents)):
            fate, reason = RELABELLED, f"{review.reviewer}: was {label}"
            label = review.agents
        elif review and review.decision == DROP:
            fate, reason = EXCLUDED, f"{review.reviewer}: {review.note or 'dropped'}"
        rows.loc[index, "agents"] = label
        stays.append(fate != EXCLUDED)
        fates.append(fate_of(row["prompt_id"], row["prompt"], fate, reason=reason, split=split, agents=label))
    return rows[np.asarray(stays, dtype=bool)].reset_index(drop=True), fates


def phrases_with_a_grip(
    train: pd.DataFrame, names: tuple[str, ...], vectors: FloatMatrix, limit: float
) -> dict[str, str]:
    """By prompt id, the phrase of firmest grip that a row holds and the agent it grips, for the rows that hold one."""
    found = trigger_phrases(from_labels(train, names), vectors, limit)
    ids = train["prompt_id"].to_numpy()
    told = [(str(ids[row]), f"{each.phrase!r} grips {names[each.agent]}") for each in found for row in each.rows]
    return dict(reversed(told))


def out_of_fold_probabilities(train: pd.DataFrame, names: tuple[str, ...], vectors: FloatMatrix) -> FloatMatrix:
    """float32 [n, c]: each row scored by heads that did not see its fold; by meaning and by words, calibrated."""
    outcomes = from_labels(train, names)

    def fit_and_score(penalties: tuple[float, float], fitted: np.ndarray, held_out: np.ndarray) -> FloatMatrix:
        inside, outside = outcomes.rows(fitted), outcomes.rows(held_out)
        words, counted = fitted_vectorizer(inside.prompts)
        by_meaning = fit_heads(vectors[fitted], inside, penalties[0], balanced=True)
        by_words = fit_heads(counted, inside, penalties[1], balanced=True)
        scores = apply_heads(vectors[held_out], *by_meaning) + apply_heads(words.transform(outside.prompts), *by_words)
        return np.asarray(scores / 2, dtype=np.float32)

    penalties = [(_EMBEDDING_PENALTY, _WORDS_PENALTY)]
    folds = train["fold"].to_numpy()
    _, scores = cross_fit(outcomes, folds, penalties, fit_and_score)
    return calibrated(scores, named_matrix(train["agents"], names), folds)


def _examined(train: pd.DataFrame, phrases: dict[str, str], reviews: dict[str, LabelReview]) -> pd.DataFrame:
    """The train rows with the phrase that each holds, and people's decision on it."""
    decisions = [decision_on(row, reviews) for _, row in train.iterrows()]
    told = [phrases.get(str(prompt_id), "") for prompt_id in train["prompt_id"]]
    return train.assign(phrase=told, review=[one.decision if one else "" for one in decisions])


def _put_aside(
    ranked: pd.DataFrame, train: pd.DataFrame, names: tuple[str, ...], params: LabelNoiseParams
) -> dict[str, str]:
    """By prompt id of each row that leaves train, why."""
    chosen = ranked["prompt_id"].isin(choose_quarantined(ranked, train, names, params)).to_numpy()
    gone = (chosen & (params.action == "quarantine")) | (
        (ranked["phrase"] != "").to_numpy() & ~vouched(ranked["review"])
    )
    return {row["prompt_id"]: reason_of(row) for _, row in ranked[gone].iterrows()}


def choose_quarantined(
    suspects: pd.DataFrame, train: pd.DataFrame, names: tuple[str, ...], params: LabelNoiseParams
) -> list[str]:
    """Ids to leave out: bad enough, not decided by a person, no rare agent, within each agent's cap."""
    counts = label_matrix([split_agents(text) for text in train["agents"]], names).sum(axis=0)
    support = dict(zip(names, counts, strict=True))
    taken: dict[str, int] = dict.fromkeys(names, 0)
    chosen = []
    for row in suspects[~vouched(suspects["review"])].to_dict("records"):
        involved = split_agents(str(row["agents"]))
        rare = any(support[name] < params.rare_below for name in {*involved, *split_agents(str(row["suggested"]))})
        full = any(taken[name] + 1 > params.max_share_per_agent * support[name] for name in involved)
        if float(row["quality"]) < params.quarantine_below and not rare and not full:
            chosen.append(str(row["prompt_id"]))
            for name in involved:
                taken[name] += 1
    return chosen


def _with_reason(fate: Fate, aside: dict[str, str]) -> Fate:
    reason = aside.get(fate.prompt_id, "")
    return replace(fate, fate=QUARANTINED, reason=reason) if reason and fate.fate == KEPT else fate


def _stale(reviews: dict[str, LabelReview], fates: list[Fate]) -> int:
    """Decisions that concern no present text."""
    present = {(fate.prompt_id, fate.text_sha256) for fate in fates}
    return sum((review.prompt_id, review.text_sha256) not in present for review in reviews.values())


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return label_noise(read("label_noise", LabelNoiseParams))


if __name__ == "__main__":
    run_stage(NAME, _run)
