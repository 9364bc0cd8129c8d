"""The tables behind the pictures of a holdout: what is drawn, as plain rows that DVC can plot and diff."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from pipeline.metrics.multilabel import per_candidate, reliability
from pipeline.runtime.arrays import Binary, FloatMatrix

LIKELY = 0.05
"""Cells below this probability are nearly all right and would hide the others in one picture."""

NONE = "(none)"
_MOST_POINTS = 400
_CELLS_PER_BIN = 12


def per_agent(truth: Binary, chosen: Binary, names: tuple[str, ...]) -> pd.DataFrame:
    """A row an agent, best F1 first, agents without prompts last: agent, precision, recall, f1, support, chosen.

    Figures of an agent that no prompt asks for, and the precision of one never chosen, are empty: not 0.
    """
    frame = pd.DataFrame(per_candidate(truth, chosen, names)).rename(columns={"candidate": "agent"})
    frame["chosen"] = chosen.sum(axis=0)
    frame.loc[frame["support"] == 0, ["precision", "recall", "f1"]] = np.nan
    frame.loc[frame["chosen"] == 0, "precision"] = np.nan
    return frame.round(6).sort_values(["f1", "support", "agent"], ascending=[False, False, True], ignore_index=True)


def precision_recall(truth: Binary, probability: FloatMatrix) -> pd.DataFrame:
    """The micro-averaged curve over one threshold for all cells: threshold, recall, precision, by falling threshold.

    At most 400 points, so that a large table stays readable; no row where no agent is asked for.
    """
    order = np.argsort(-probability, axis=None, kind="stable")
    score, hit = probability.reshape(-1)[order], truth.reshape(-1)[order]
    if not hit.any():
        return pd.DataFrame(columns=["threshold", "recall", "precision"], dtype=float)
    last_of_ties = np.flatnonzero(np.append(np.diff(score) != 0, True))
    kept = last_of_ties[np.unique(np.linspace(0, len(last_of_ties) - 1, _MOST_POINTS).astype(int))]
    right = hit.cumsum()[kept]
    points = {
        "threshold": score[kept].astype(float),
        "recall": right / hit.sum(),
        "precision": right / (kept + 1),
    }
    return pd.DataFrame(points).round(6)


def reliability_bins(truth: Binary, probability: FloatMatrix, bins: int = 10) -> pd.DataFrame:
    """Equally filled bins: cells, bin, probability, frequency, share (of all cells), count.

    `cells` is `all` (the bins whose gaps make up the calibration error) or `likely` (only those at LIKELY or above).
    """
    likely = probability >= LIKELY
    parts = [("all", truth.reshape(-1), probability.reshape(-1), bins)]
    if likely.any():
        few = max(1, min(bins, int(likely.sum()) // _CELLS_PER_BIN))
        parts.append(("likely", truth[likely], probability[likely], few))
    rows = [
        {
            "cells": cells,
            "bin": number,
            "probability": found.expected,
            "frequency": found.observed,
            "count": found.count,
        }
        for cells, hit, score, count in parts
        for number, found in enumerate(reliability(hit, score, count).table(), start=1)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(share=frame["count"] / truth.size).round(6)


def cooccurrence(truth: Binary, chosen: Binary, names: tuple[str, ...]) -> pd.DataFrame:
    """A row a pair of agents: asked, chosen, together, both, confused; all counts of prompts.

    `together`: prompts that ask for both. `both`: the first is asked for and the second was chosen. `confused`: the
    first was missed where the second was chosen without need. `(none)` as `asked`: the second was added though nothing
    was missed; `(none)` as `chosen`: the first was missed and nothing was put in its place.
    """
    missed, extra = truth & ~chosen, chosen & ~truth
    confused = _pairs(_with_none(missed), _with_none(extra))
    together, both = _pairs(truth, truth), _pairs(truth, chosen)
    rows = [
        {
            "asked": asked,
            "chosen": picked,
            "together": together[i, j] if NONE not in (asked, picked) else 0,
            "both": both[i, j] if NONE not in (asked, picked) else 0,
            "confused": confused[i, j],
        }
        for (i, asked), (j, picked) in product(enumerate([*names, NONE]), repeat=2)
        if (asked, picked) != (NONE, NONE)
    ]
    return pd.DataFrame(rows)


def _with_none(cells: Binary) -> Binary:
    """One more column: true where a prompt has no other."""
    return np.column_stack([cells, ~cells.any(axis=1)])


def _pairs(left: Binary, right: Binary) -> np.ndarray:
    return left.astype(np.int64).T @ right.astype(np.int64)
