"""Whether an expected quality can be believed: expected against observed, in bins of equally many cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.metrics.bootstrap import UNKNOWN, Estimate, resampling_weights, six_decimals
from pipeline.runtime.arrays import Indices, Values

BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """How many cells a bin has, and their mean expected and mean observed quality."""

    count: int
    expected: float
    observed: float


@dataclass(frozen=True)
class Reliability:
    """m known cells: expected and observed quality float64 [m], the prompt and the bin of each int64 [m].

    Bins are filled equally, from the lowest expectation to the highest: bins of equal width would leave most cells in
    one of them, and the error would hang on the few cells of the others. `prompts` says of how many prompts they are.
    """

    expected: Values
    observed: Values
    prompt: Indices
    bin: Indices
    prompts: int

    @classmethod
    def of(cls, expected: Values, quality: Values, bins: int = BINS) -> Reliability:
        """From matrices [n, c] of n prompts, or one cell a prompt [n]; what is not known (NaN) is left out."""
        known = np.isfinite(quality) & np.isfinite(expected)
        prompt = np.nonzero(known)[0]
        order = np.argsort(expected[known], kind="stable")
        sizes = [len(part) for part in np.array_split(order, bins)]
        place = np.repeat(np.arange(bins), sizes)
        return cls(expected[known][order], quality[known][order], prompt[order], place, len(quality))

    def table(self) -> tuple[ReliabilityBin, ...]:
        """The bins that have cells."""
        inside = (self.bin == each for each in np.unique(self.bin))
        return tuple(
            ReliabilityBin(
                int(cells.sum()),
                six_decimals(self.expected[cells].mean()),
                six_decimals(self.observed[cells].mean()),
            )
            for cells in inside
        )

    def error(self) -> float:
        """The mean gap of the bins, weighted by their cells; NaN where there is none."""
        if not len(self.bin):
            return float("nan")
        count, gap = self._sums()
        return float(np.abs(gap.sum(axis=0)).sum() / count.sum())

    def error_estimate(self) -> Estimate:
        """The error with its 95 % interval over resampled prompts, in the bins of all.

        Chance alone opens gaps, in a resample more than in the sample: the interval leans upwards, and where all
        draws lie above the value it begins at the value.
        """
        if not len(self.bin):
            return UNKNOWN
        count, gap = self._sums()
        with np.errstate(invalid="ignore"):  # a resample may hold no cell; its error is not known
            draws = [np.abs(weight @ gap).sum(axis=1) / (weight @ count) for weight in resampling_weights(self.prompts)]
        found = Estimate.of(self.error(), np.concatenate(draws))
        return replace(found, low=min(found.low, found.value))

    def _sums(self) -> tuple[Values, Values]:
        """Of each prompt: its cells [n], and what they exceed the observed by, in each bin [n, bins]."""
        count = np.bincount(self.prompt, minlength=self.prompts).astype(np.float64)
        gap = np.zeros((self.prompts, int(self.bin.max()) + 1))
        np.add.at(gap, (self.prompt, self.bin), self.expected - self.observed)
        return count, gap
