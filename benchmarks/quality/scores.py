"""Figures of choices: means over seeds, with bootstrap intervals over prompts and paired differences.

Every figure comes from sums over prompts, so that all resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.job import Labels
from benchmarks.quality.tables import Table
from pipeline.metrics.bootstrap import UNKNOWN, Estimate, resampling_weights
from pipeline.runtime.arrays import Binary, Indices, Values

MICRO, MACRO, SUBSET, RARE_F1, RARE_RECALL = "micro-F1", "macro-F1", "subset accuracy", "rare macro-F1", "rare recall"


@dataclass(frozen=True)
class Sums:
    """Weighted sums over prompts, a row a weighting: agents that are right, chosen and true [k, c], whole rows [k]."""

    both: Values
    chosen: Values
    truth: Values
    whole: Values

    @classmethod
    def of(cls, truth: Binary, chosen: Binary, weights: Values) -> Sums:
        """`weights` [k, n] says how often each of n prompts counts."""
        whole = (truth == chosen).all(axis=1)
        parts = np.hstack([truth & chosen, chosen, truth, whole[:, None]]).astype(np.float64)
        found, agents = weights @ parts, truth.shape[1]
        both, picked, asked = (found[:, start : start + agents] for start in range(0, 3 * agents, agents))
        return cls(both, picked, asked, found[:, -1] / weights.sum(axis=1))

    def of_agents(self, columns: Indices) -> Sums:
        return Sums(self.both[:, columns], self.chosen[:, columns], self.truth[:, columns], self.whole)

    def micro_f1(self) -> Values:
        return _share(2 * self.both.sum(axis=1), (self.chosen + self.truth).sum(axis=1))

    def macro_f1(self) -> Values:
        """Mean over the agents that are chosen or true."""
        seen = (self.chosen + self.truth) > 0
        return _share(_share(2 * self.both, self.chosen + self.truth).sum(axis=1), seen.sum(axis=1))

    def recall(self) -> Values:
        return _share(self.both.sum(axis=1), self.truth.sum(axis=1))


def _share(part: Values, whole: Values) -> Values:
    """0 of nothing."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


Figure = Callable[[Sums], Values]


def figures(rare: Indices) -> dict[str, Figure]:
    """The figures by name; those of rare agents only where there are any."""
    found: dict[str, Figure] = {MICRO: Sums.micro_f1, MACRO: Sums.macro_f1, SUBSET: lambda sums: sums.whole}
    if len(rare):
        found[RARE_F1] = lambda sums: sums.of_agents(rare).macro_f1()
        found[RARE_RECALL] = lambda sums: sums.of_agents(rare).recall()
    return found


@dataclass(frozen=True)
class Drawn:
    """A figure of all prompts, and of each resample; the resamples are the same for all systems on a table."""

    value: float
    draws: Values

    def estimate(self) -> Estimate:
        return Estimate.of(self.value, self.draws)

    def share(self, prompts: int) -> Estimate:
        """Of so many prompts; a difference is none."""
        return Estimate.of_share(self.value, self.draws, prompts)

    def __sub__(self, other: Drawn) -> Drawn:
        return Drawn(self.value - other.value, self.draws - other.draws)


def drawn(truth: Binary, chosen: Sequence[Binary], wanted: Mapping[str, Figure]) -> dict[str, Drawn]:
    """Each figure, as its mean over the choices [n, c] of several seeds."""
    everything = np.ones((1, len(truth)))
    whole = [Sums.of(truth, each, everything) for each in chosen]
    blocks = [[Sums.of(truth, each, weights) for each in chosen] for weights in resampling_weights(len(truth))]
    return {
        name: Drawn(
            float(np.mean([figure(sums)[0] for sums in whole])),
            np.concatenate([np.mean([figure(sums) for sums in block], axis=0) for block in blocks]),
        )
        for name, figure in wanted.items()
    }


def share_of(rows: Sequence[Indices], count: int) -> Estimate:
    """The share of `count` prompts that these are, as a mean over seeds."""
    if not rows:
        return UNKNOWN
    hit = np.mean([np.isin(np.arange(count), each) for each in rows], axis=0)
    drawn_shares = np.concatenate([w @ hit / count for w in resampling_weights(count)])
    return Estimate.of_share(float(hit.mean()), drawn_shares, count)


def matrix(labels: Labels, table: Table) -> Binary:
    """Chosen agents as bool [n, c]."""
    found = np.zeros((len(labels), len(table.agents)), dtype=np.bool_)
    for row, agents in enumerate(labels):
        found[row, agents] = True
    return found
