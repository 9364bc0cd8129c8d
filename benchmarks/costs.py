"""How well the cost of a call is expected from its prompt's length: `python -m benchmarks.costs TABLE [PRICES]`.

For each candidate a cross-validated error beside that of its mean; the same for data sets that were left out of the
fit, where the table names some. With a price file also by lengths of answers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.pool import offered
from pipeline.data.prices import read_prices
from pipeline.routers.base.cost_model import CostModel, cross_fit_costs, prices_of, tokens_in
from pipeline.routers.fitting import outer_folds
from pipeline.runtime.arrays import Indices, Values

SEED, FOLDS = 7, 5


def errors(outcomes: Outcomes, expected: Values) -> tuple[float, float]:
    """R2, and mean absolute error as a share of the mean cost, each the mean over candidates."""
    paid = outcomes.cost.astype(np.float64)
    mean = np.nanmean(paid, axis=0)
    r2 = 1 - np.nansum((paid - expected) ** 2, axis=0) / np.nansum((paid - mean) ** 2, axis=0)
    return float(r2.mean()), float((np.nanmean(np.abs(paid - expected), axis=0) / mean).mean())


def mean_costs(outcomes: Outcomes, folds: Indices) -> Values:
    """What each candidate cost on average outside a row's fold."""
    expected = np.zeros(outcomes.cost.shape)
    for fold in np.unique(folds):
        mean = np.nanmean(outcomes.cost[folds != fold].astype(np.float64), axis=0)
        expected[folds == fold] = CostModel.constant(mean.tolist()).usd(np.ones(int((folds == fold).sum())))
    return expected


def main(table: Path, prices: Path | None = None) -> None:
    outcomes = read_outcomes(table)
    tokens = tokens_in(outcomes.prompts)
    splits = {"folds": outer_folds(outcomes, FOLDS, SEED)}
    if outcomes.datasets is not None:
        splits["data sets left out"] = np.unique(outcomes.datasets, return_inverse=True)[1].astype(np.int64)
    entries = tuple(read_prices(prices).by_name.values()) if prices else ()
    paid = prices_of(offered(entries, outcomes.candidates)) if entries else None
    print("| split | expected by | R2 | mean absolute error / mean cost |\n|---|---|---|---|")
    for name, folds in splits.items():
        ways = {"mean": mean_costs(outcomes, folds), "prompt's length": cross_fit_costs(tokens, outcomes, folds)}
        if paid is not None:
            ways["prices, and length of the answer"] = cross_fit_costs(tokens, outcomes, folds, paid)
        for way, expected in ways.items():
            r2, error = errors(outcomes, expected)
            print(f"| {name} | {way} | {r2:.3f} | {error:.3f} |")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
