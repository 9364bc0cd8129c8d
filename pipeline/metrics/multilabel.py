"""Multi-label metrics and the calibration error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.metrics.reliability import BINS, Reliability
from pipeline.runtime.arrays import Binary, FloatMatrix

Statistic = Callable[[Binary, Binary], float]


def f1_from_counts(both: int, predicted: int, actual: int) -> float:
    """F1 from the counts of true positives, predicted and actual positives; 0 where nothing is either."""
    return 2.0 * both / (predicted + actual) if predicted + actual else 0.0


def micro_f1(truth: Binary, chosen: Binary) -> float:
    """F1 over all cells together; arguments bool [n, c]."""
    return f1_from_counts(int((truth & chosen).sum()), int(chosen.sum()), int(truth.sum()))


def chosen_quality(quality: FloatMatrix, chosen: Binary) -> float:
    """Mean quality of what was chosen, over the prompts where it is known; 0 where it is known of none.

    Arguments [n, c], quality NaN where a candidate was not tried.
    """
    known = chosen & ~np.isnan(quality)
    count = known.sum(axis=1)
    means = np.where(known, quality, 0.0).sum(axis=1)[count > 0] / count[count > 0]
    return float(means.mean()) if len(means) else 0.0


def known_of_both(cells: FloatMatrix, ours: Binary, theirs: Binary) -> Binary:
    """On which prompts a cell of either choice is known: bool [n]; arguments [n, c]."""
    known = ~np.isnan(cells)
    return np.logical_and((ours & known).any(axis=1), (theirs & known).any(axis=1))


def macro_f1(truth: Binary, chosen: Binary) -> float:
    """Mean F1 over the candidates that occur in the truth or among the choices; arguments bool [n, c]."""
    total = truth.sum(axis=0) + chosen.sum(axis=0)
    if not total.any():
        return 0.0
    both = (truth & chosen).sum(axis=0)
    seen = total > 0
    return float((2.0 * both[seen] / total[seen]).mean())


def hamming_loss(truth: Binary, chosen: Binary) -> float:
    """Share of cells that are wrong."""
    return float((truth != chosen).mean())


def subset_accuracy(truth: Binary, chosen: Binary) -> float:
    """Share of prompts whose whole subset is right."""
    return float((truth == chosen).all(axis=1).mean())


def recall(truth: Binary, chosen: Binary) -> float:
    """Share of the true cells that were chosen; 0 where there are none."""
    return float((truth & chosen).sum() / truth.sum()) if truth.any() else 0.0


def label_count_error(truth: Binary, probability: FloatMatrix) -> float:
    """By what share the sum of probabilities [n, c] is off the number of labels; nan where nothing is asked for."""
    labels = int(truth.sum())
    return abs(float(probability.sum()) / labels - 1) if labels else float("nan")


def expected_calibration_error(truth: Binary, probability: FloatMatrix, bins: int = BINS) -> float:
    """Gap between probability and frequency over all cells, in equally filled bins (Nixon et al., 2019)."""
    return reliability(truth, probability, bins).error()


def reliability(truth: Binary, probability: FloatMatrix, bins: int = BINS) -> Reliability:
    """What labels say of probabilities, both [n, c]."""
    return Reliability.of(probability.astype(np.float64), truth.astype(np.float64), bins)


HEADLINE: dict[str, Statistic] = {
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
    "hamming_loss": hamming_loss,
    "subset_accuracy": subset_accuracy,
}


@dataclass(frozen=True)
class Headline:
    """The one figure that a router is first judged by: micro-F1 on labels, the chosen quality on graded outcomes.

    `truth` [n, c] is what `statistic` takes beside the choices.
    """

    name: str
    truth: Any
    statistic: Callable[[Any, Binary], float]


def headline(outcomes: Outcomes) -> Headline:
    """The headline figure for outcomes, with their truth."""
    if outcomes.is_labels:
        return Headline("micro_f1", outcomes.quality > 0.5, micro_f1)
    return Headline("quality", outcomes.quality, chosen_quality)


@dataclass(frozen=True)
class CandidateScores:
    """How well one candidate is chosen; `support` counts the prompts that ask for it."""

    candidate: str
    precision: float
    recall: float
    f1: float
    support: int


def per_candidate(truth: Binary, chosen: Binary, candidates: tuple[str, ...]) -> tuple[CandidateScores, ...]:
    """Each candidate's scores, in column order; arguments bool [n, c]."""
    both, picked, asked = (cells.sum(axis=0).tolist() for cells in (truth & chosen, chosen, truth))
    return tuple(
        CandidateScores(name, b / p if p else 0.0, b / a if a else 0.0, f1_from_counts(b, p, a), a)
        for name, b, p, a in zip(candidates, both, picked, asked, strict=True)
    )
