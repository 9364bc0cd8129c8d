"""Whom to choose where no agent reaches its threshold: the likeliest, or the one nearest to its threshold.

    python -m benchmarks.below_threshold TABLE [--router linear] [--folds 5] [--threads 1]

The table names agents. Rows are decided on by a router that was fitted without them: fold by fold, or, where the
column `split` names some `test`, these by a router of those that it names `train`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.figures import signed
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.metrics.bootstrap import RESAMPLES, Estimate, Resampled, paired_differences, resamples
from pipeline.metrics.multilabel import micro_f1
from pipeline.policies.policy import SubsetPolicy
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router, outer_folds
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.reproducibility import pin
from pipeline.runtime.tables import read_table

SEED = 7
Choices = tuple[Binary, Binary, Binary, Binary]


def parts(table: Path, outcomes: Outcomes, folds: int) -> list[tuple[Indices, Indices]]:
    """Train and judged rows of each fit."""
    frame = read_table(table)
    if "split" in frame and (frame["split"] == "test").any():
        split = dict(zip(frame["prompt_id"].astype(str), frame["split"], strict=True))
        named = np.array([split[row] for row in outcomes.prompt_ids])
        return [(np.flatnonzero(named == "train"), np.flatnonzero(named == "test"))]
    fold = outer_folds(outcomes, folds, SEED)
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in np.unique(fold)]


def decided(outcomes: Outcomes, train: Indices, rows: Indices, system: str) -> Choices:
    """By the likeliest, by the nearest to its threshold, by neither; and the truth; bool [n, c] each."""
    router = fit_router(system, outcomes.rows(train), FinetuningParams(), SEED)
    assert isinstance(router.policy, SubsetPolicy)
    policy = replace(router.policy, at_least_one=True)
    predictions = router.predict(outcomes.rows(rows).prompts)
    likeliest = policy.choose(predictions.quality, predictions.cost)
    reached = policy.reached(predictions.quality)
    nearest = reached.copy()
    away = predictions.quality - np.asarray(policy.thresholds, dtype=np.float32)
    empty = ~reached.any(axis=1)
    nearest[empty, away.argmax(axis=1)[empty]] = True
    return likeliest, nearest, reached, outcomes.quality[rows] > 0.5


def share(column: Binary) -> str:
    found = Resampled.of([column.astype(np.float64)]).estimate(0)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def printed(likeliest: Binary, nearest: Binary, reached: Binary, truth: Binary) -> None:
    below = ~reached.any(axis=1)
    differ = below & (likeliest != nearest).any(axis=1)
    right, other = ((chosen & truth).any(axis=1) for chosen in (likeliest, nearest))
    print(f"{len(truth)} prompts; below every threshold {below.sum()}; chosen differently {differ.sum()}")
    print(f"| right, of these | likeliest {share(right[below])} | nearest {share(other[below])} |")
    gain = right[below].astype(np.float64) - other[below]
    print(f"| difference | {signed(Resampled.of([gain]).estimate(0))} |")
    draws = resamples(len(truth), RESAMPLES, 0)
    apart = paired_differences(micro_f1, truth, likeliest, nearest, draws)
    scores = micro_f1(truth, likeliest), micro_f1(truth, nearest)
    print(f"| micro-F1 | {scores[0]:.4f} | {scores[1]:.4f} | {signed(Estimate.of(scores[0] - scores[1], apart))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Whom to choose where no agent reaches its threshold")
    parser.add_argument("table", type=Path)
    parser.add_argument("--router", default="linear")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    pin(SEED, asked.threads)
    outcomes = read_outcomes(asked.table)
    if not outcomes.is_labels:
        raise SystemExit(f"{asked.table} needs the column agents")
    made = [decided(outcomes, *rows, asked.router) for rows in parts(asked.table, outcomes, asked.folds)]
    printed(*(np.concatenate(part) for part in zip(*made, strict=True)))


if __name__ == "__main__":
    main()
