"""Which labels are wrong, and what each should be: held-out probabilities weighed against three kinds of slip.

A slip swaps one label of a row for another, adds one, or drops one. With o_j the odds that the row is wrong about
label j (cleanlab's self-confidence s_j of each label, o = (1 - s) / s; Thyagarajan et al., 2022), k of c labels given,
and each way of slipping as likely as any other of its kind, the odds of each slip against a right row are

    a was swapped in for b    o_a o_b / (k (c - k))
    a was added               o_a / (c - k + 1)         where another is left
    b was dropped             o_b / (k + 1)

times the share of rows that such slips befall. The row's label is wrong with the sum of them, and what it should be is
what it was before the likeliest (docs/results/label-noise.md has what else was tried).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit, logsumexp

from pipeline.data.holdout import named_matrix
from pipeline.data.label_reviews import KEEP, RELABEL
from pipeline.data.names import SEPARATOR
from pipeline.learning.calibration import fit_calibration
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

_WRONG_SHARE = 0.1
"""Rows of which a label is wrong, a third of them for each kind of slip, before anything is known of them."""
_CERTAIN = 1e-6
_SWAPPED, _ADDED, _DROPPED = 0, 1, 2


@dataclass(frozen=True)
class LabelErrors:
    """Of n rows the log odds that the label is wrong, float64 [n], and what it should be then, bool [n, c]."""

    log_odds: Values
    suggested: Binary

    @property
    def quality(self) -> Values:
        """The probability that the label is right, float64 [n]."""
        return np.asarray(expit(-self.log_odds), dtype=np.float64)


def find_label_errors(probabilities: FloatMatrix, given: Binary) -> LabelErrors:
    """From held-out, calibrated probabilities [n, c] and the labels given, bool [n, c], at least one a row."""
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    given_ids = [np.flatnonzero(row).tolist() for row in given]
    confidence = get_label_quality_scores_per_class(given_ids, probabilities.astype(np.float64))
    wrong = -logit(np.clip(confidence, _CERTAIN, 1 - _CERTAIN))
    taken_in, left_out = np.where(given, wrong, -np.inf), np.where(given, -np.inf, wrong)
    slips = _slips(taken_in, left_out, given, logsumexp)
    log_odds = logsumexp(slips, axis=0) + np.log(_WRONG_SHARE / 3 / (1 - _WRONG_SHARE))
    likeliest = _slips(taken_in, left_out, given, np.max)
    slip, possible = likeliest.argmax(axis=0), np.isfinite(likeliest).any(axis=0)
    suggested = given.copy()
    for column, rows, value in (
        (taken_in.argmax(axis=1), possible & (slip != _DROPPED), False),
        (left_out.argmax(axis=1), possible & (slip != _ADDED), True),
    ):
        suggested[np.flatnonzero(rows), column[rows]] = value
    return LabelErrors(log_odds, suggested)


def _slips(taken_in: Values, left_out: Values, given: Binary, pool: Callable[..., Values]) -> Values:
    """Log odds of each kind of slip, float64 [3, n]; -inf where there can be none."""
    count, labels = given.sum(axis=1), given.shape[1]
    added, dropped = pool(taken_in, axis=1), pool(left_out, axis=1)
    swapped = added + dropped - np.log(np.maximum(count * (labels - count), 1))
    alone = np.where(count > 1, 0.0, -np.inf)
    return np.stack([swapped, added - np.log(labels - count + 1) + alone, dropped - np.log(count + 1)])


def calibrated(scores: FloatMatrix, given: Binary, folds: Indices) -> FloatMatrix:
    """Probabilities float32 [n, c] that mean what they say of the labels given, from held-out logits."""
    return fit_calibration(scores, given.astype(np.float32), folds).probabilities(scores)


def pooled(probabilities: Sequence[FloatMatrix], given: Binary, folds: Indices) -> FloatMatrix:
    """The mean of several models' held-out probabilities, calibrated anew; NaN where a model did not see a row."""
    mean = np.clip(np.nanmean(np.stack(probabilities), axis=0), _CERTAIN, 1 - _CERTAIN)
    return calibrated(np.asarray(logit(mean), dtype=np.float32), given, folds)


def rank_suspects(rows: pd.DataFrame, probabilities: FloatMatrix, names: tuple[str, ...], listed: int) -> pd.DataFrame:
    """The rows whose review is expected to mend most, each with what speaks for and against its label.

    A review mends a row whose label is wrong, so that its expected gain is the probability of that; `quality` is the
    rest. `rows` have `prompt_id, prompt, agents`, the `phrase` with a grip that a row holds and people's `review` of
    it, each empty where there is none. Rows with a phrase go before all others, and are listed however many there are.
    Of the rest, `listed` that wait for a review; those that had one keep their rank among them and take nobody's place.
    """
    given = named_matrix(rows["agents"], names)
    found = find_label_errors(probabilities, given)
    plain = (rows["phrase"] == "").to_numpy()
    order = np.lexsort((rows["prompt_id"].to_numpy(), -found.log_odds, plain))
    waiting = (rows["review"] == "").to_numpy()[order].cumsum()
    order = order[: max(int(np.searchsorted(waiting, listed)) + 1, int((~plain).sum()))]
    ranked = rows.iloc[order][["prompt_id", "prompt", "agents"]].reset_index(drop=True)
    ranked.insert(0, "rank", np.arange(1, len(order) + 1))
    evidence = [_evidence(given[i], found.suggested[i], probabilities[i], names) for i in order]
    ranked["quality"] = found.quality[order].round(6)
    ranked[["doubted", "missing", "suggested"]] = pd.DataFrame(evidence, columns=["doubted", "missing", "suggested"])
    return ranked.assign(**{name: rows[name].to_numpy()[order] for name in ("phrase", "review")})


def _evidence(given: Binary, suggested: Binary, probability: FloatMatrix, names: tuple[str, ...]) -> tuple[str, ...]:
    """Doubted: given but unlikely. Missing: the likeliest that is not given, and all others that are likely.

    Each as `agent probability`, strongest first; then the label that is suggested.
    """
    by_doubt = np.argsort(probability, kind="stable")
    doubted = [i for i in by_doubt if given[i] and (probability[i] < 0.5 or not suggested[i])]
    others = [i for i in by_doubt[::-1] if not given[i]]
    missing = others[:1] + [i for i in others[1:] if probability[i] >= 0.5]
    told = (", ".join(f"{names[i]} {probability[i]:.2f}" for i in columns) for columns in (doubted, missing))
    return *told, SEPARATOR.join(name for name, one in zip(names, suggested, strict=True) if one)


def reason_of(suspect: pd.Series) -> str:
    """Why a ranked row is suspect, in a line."""
    reason = f"suspect {suspect['rank']}: doubted [{suspect['doubted']}], missing [{suspect['missing']}]"
    # The phrase itself would outlive an erasure of the row.
    return reason + (", holds a phrase with a grip on its agent" if suspect["phrase"] else "")


def vouched(reviews: pd.Series) -> Binary:
    """Whether a person has said that a row's label is right as it now stands, bool [n]."""
    return reviews.isin([KEEP, RELABEL]).to_numpy()
