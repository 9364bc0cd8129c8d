"""Stage `label_noise`: people's decisions applied, then the labels that look wrong, ranked with evidence.

Suspects come from cleanlab's multi-label scores (self-confidence of each agent; Thyagarajan et al., 2022) on
out-of-fold probabilities of class-balanced linear heads, one set on frozen embeddings and one on weighted words.
A row's score is the margin between the agents given and the likeliest one not given (docs/results/label-noise.md).
Rows that share a phrase with a grip on their agent, as a planted trigger has, stand first and leave train, unless a
person decided otherwise (docs/results/poisoning.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.special import expit, logit

from pipeline.data.agents import read_agents
from pipeline.data.fates import (
    EXCLUDED,
    FLAGGED,
    HOLDOUT,
    KEPT,
    QUARANTINED,
    RELABELLED,
    TRAIN,
    Fate,
    fate_of,
    write_fates,
)
from pipeline.data.label_reviews import DROP, KEEP, RELABEL, LabelReview, decision_on, read_reviews
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import from_labels, label_matrix, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.cross_fitting import cross_fit
from pipeline.learning.linear_heads import apply_heads, fit_heads
from pipeline.learning.tfidf import new_vectorizer
from pipeline.learning.trigger_phrases import trigger_phrases
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_table

NAME = "label_noise"
_MAX_TOKENS = 256
_EMBEDDING_PENALTY, _WORDS_PENALTY = 10.0, 30.0
_CERTAIN = 1e-9


class LabelNoiseParams(Section):
    """What is listed, and what is done about it without a person."""

    encoder: str
    action: Literal["flag", "quarantine"]
    suspects: int = Field(ge=1)
    quarantine_below: float = Field(ge=0, le=1)
    max_share_per_agent: float = Field(ge=0, le=1)
    rare_below: int = Field(ge=0)
    trigger_grip: float = Field(gt=0, le=1)


def label_noise(params: LabelNoiseParams) -> Summary:
    """Write train and holdout with reviews applied, and the ranked suspects as CSV and Parquet.

    Raises:
        TableError: data/label_reviews.csv is malformed.
    """
    names = tuple(agent.name for agent in read_agents())
    reviews = read_reviews(names)
    train, train_fates = apply_reviews(_split("train"), reviews, TRAIN)
    holdout, holdout_fates = apply_reviews(_split("holdout"), reviews, HOLDOUT)
    vectors = FrozenEmbedding(params.encoder, _MAX_TOKENS, "label_noise.encoder").embed(list(train["prompt"]))
    probabilities = out_of_fold_probabilities(train, names, vectors)
    phrases = phrases_with_a_grip(train, names, vectors, params.trigger_grip)
    suspects = rank_suspects(train, probabilities, names, reviews, params, phrases)
    quarantined = set(choose_quarantined(suspects, train, names, params)) if params.action == "quarantine" else set()
    quarantined |= set(suspects["prompt_id"][(suspects["phrase"] != "") & ~suspects["review"].isin([KEEP, RELABEL])])
    fates = [_with_suspicion(fate, suspects, quarantined) for fate in train_fates]
    write_table(train[~train["prompt_id"].isin(quarantined)], STAGES / NAME / "train.parquet")
    write_table(holdout, STAGES / NAME / "holdout.parquet")
    write_table(suspects, STAGES / NAME / "suspects.csv")
    write_table(suspects, STAGES / NAME / "suspects.parquet")
    write_fates(NAME, fates + holdout_fates)
    counts = pd.Series([fate.fate for fate in fates + holdout_fates]).value_counts()
    changed = [fate for fate in holdout_fates if fate.fate != KEPT]
    return {
        "train": len(train) - len(quarantined),
        "suspects": len(suspects),
        "reviewed": sum(bool(decision) for decision in suspects["review"]),
        **{name: int(counts.get(name, 0)) for name in (FLAGGED, QUARANTINED, RELABELLED, EXCLUDED)},
        "holdout_rows_changed": len(changed),
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
    """float32 [n, c]: each row scored by heads that did not see its fold; the mean logit of meaning and of words."""
    outcomes = from_labels(train, names)

    def fit_and_score(penalties: tuple[float, float], fitted: np.ndarray, held_out: np.ndarray) -> FloatMatrix:
        inside, outside = outcomes.rows(fitted), outcomes.rows(held_out)
        words = new_vectorizer()
        counted = words.fit_transform(inside.prompts)
        by_meaning = fit_heads(vectors[fitted], inside, penalties[0], balanced=True)
        by_words = fit_heads(counted, inside, penalties[1], balanced=True)
        scores = apply_heads(vectors[held_out], *by_meaning) + apply_heads(words.transform(outside.prompts), *by_words)
        return np.asarray(scores / 2, dtype=np.float32)

    penalties = [(_EMBEDDING_PENALTY, _WORDS_PENALTY)]
    _, scores = cross_fit(outcomes, train["fold"].to_numpy(), penalties, fit_and_score)
    return np.asarray(expit(scores), dtype=np.float32)


def rank_suspects(
    train: pd.DataFrame,
    probabilities: FloatMatrix,
    names: tuple[str, ...],
    reviews: dict[str, LabelReview],
    params: LabelNoiseParams,
    phrases: Mapping[str, str] = MappingProxyType({}),
) -> pd.DataFrame:
    """The least credible labels first, each with the agents that speak for and against it.

    Rows that hold a phrase with a grip go before all others, and are listed however many there are.
    """
    from cleanlab.multilabel_classification import get_label_quality_scores

    labels = [split_agents(text) for text in train["agents"]]
    class_ids = [[names.index(name) for name in row] for row in labels]
    given = label_matrix(labels, names) > 0.5
    quality = get_label_quality_scores(
        class_ids,
        probabilities.astype(np.float64),
        method="self_confidence",
        aggregator_kwargs={"method": lambda scores, axis: _margin(scores, given)},
    )
    told = [phrases.get(str(prompt_id), "") for prompt_id in train["prompt_id"]]
    plain = np.array([not phrase for phrase in told], dtype=bool)
    most = max(params.suspects, int((~plain).sum()))
    order = np.lexsort((train["prompt_id"].to_numpy(), quality, plain))[:most]
    rows = [
        {
            "rank": rank,
            "prompt_id": train["prompt_id"].iloc[i],
            "prompt": train["prompt"].iloc[i],
            "agents": train["agents"].iloc[i],
            "quality": round(float(quality[i]), 6),
            **_evidence(labels[i], probabilities[i], names),
            "phrase": told[i],
            "review": _decision(train.iloc[i], reviews),
        }
        for rank, i in enumerate(order, start=1)
    ]
    return pd.DataFrame(rows)


def _margin(confidence: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Quality [n] in 0..1 from each agent's self-confidence [n, c]: mean logit of the given, least of the others.

    The mean, so that a prompt of several agents is not suspect merely for having more that may be unlikely.
    """
    logits = logit(np.clip(confidence, _CERTAIN, 1 - _CERTAIN))
    right = np.where(given, logits, 0.0).sum(axis=1) / np.maximum(given.sum(axis=1), 1)
    others = np.where(given, np.inf, logits).min(axis=1)
    return np.asarray(expit(right + np.where(np.isfinite(others), others, 0.0)))


def _evidence(label: tuple[str, ...], probability: FloatMatrix, names: tuple[str, ...]) -> dict[str, str]:
    """Doubted: given but unlikely. Missing: the likeliest that is not given, and all others that are likely.

    Each as `agent probability`, strongest first.
    """
    doubted = sorted((float(probability[names.index(n)]), n) for n in label if probability[names.index(n)] < 0.5)
    others = sorted(((float(p), n) for p, n in zip(probability, names, strict=True) if n not in label), reverse=True)
    missing = others[:1] + [(p, n) for p, n in others[1:] if p >= 0.5]
    return {
        "doubted": ", ".join(f"{name} {p:.2f}" for p, name in doubted),
        "missing": ", ".join(f"{name} {p:.2f}" for p, name in missing),
        "suggested": SEPARATOR.join(n for n, p in zip(names, probability, strict=True) if p >= 0.5),
    }


def _decision(row: pd.Series, reviews: dict[str, LabelReview]) -> str:
    review = decision_on(row, reviews)
    return review.decision if review else ""


def choose_quarantined(
    suspects: pd.DataFrame, train: pd.DataFrame, names: tuple[str, ...], params: LabelNoiseParams
) -> list[str]:
    """Ids to leave out: bad enough, not decided by a person, no rare agent, within each agent's cap."""
    counts = label_matrix([split_agents(text) for text in train["agents"]], names).sum(axis=0)
    support = dict(zip(names, counts, strict=True))
    taken: dict[str, int] = dict.fromkeys(names, 0)
    chosen = []
    for row in suspects.to_dict("records"):
        involved = split_agents(str(row["agents"]))
        rare = any(support[name] < params.rare_below for name in {*involved, *split_agents(str(row["suggested"]))})
        full = any(taken[name] + 1 > params.max_share_per_agent * support[name] for name in involved)
        if (
            float(row["quality"]) < params.quarantine_below
            and row["review"] not in (KEEP, RELABEL)
            and not rare
            and not full
        ):
            chosen.append(str(row["prompt_id"]))
            for name in involved:
                taken[name] += 1
    return chosen


def _with_suspicion(fate: Fate, suspects: pd.DataFrame, quarantined: set[str]) -> Fate:
    if fate.fate != KEPT or fate.prompt_id not in set(suspects["prompt_id"]):
        return fate
    row = suspects[suspects["prompt_id"] == fate.prompt_id].iloc[0]
    if row["review"] == KEEP:
        return fate
    reason = f"suspect {row['rank']}: doubted [{row['doubted']}], missing [{row['missing']}]"
    # The phrase itself would outlive an erasure of the row.
    reason += ", holds a phrase with a grip on its agent" if row["phrase"] else ""
    kind = QUARANTINED if fate.prompt_id in quarantined else FLAGGED
    return Fate(**{**fate.__dict__, "fate": kind, "reason": reason})


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
