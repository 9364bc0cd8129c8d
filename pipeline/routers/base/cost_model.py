"""What a call is expected to cost: tokens in x price in + expected tokens of the answer x price out.

A table of outcomes has costs and no lengths. Where prices were known when a router was fitted, costs are turned into
lengths of answers, so that other prices give other costs with no refit. Where they were not, costs are learnt as they
are. docs/results/expected-cost.md has what either predicts better than a candidate's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.folds import parts
from pipeline.data.outcomes import Outcomes
from pipeline.data.prices import MILLION, Priced
from pipeline.runtime.arrays import Indices, Values
from pipeline.runtime.errors import InputError

BYTES_PER_TOKEN = 4.0
_PRIOR_PROMPTS = 10.0
"""A slope is pulled towards 0 as if by so many more prompts on which length made no difference."""


def tokens_in(prompts: Sequence[str]) -> Values:
    """An estimate of each prompt's tokens for which no tokenizer is asked: UTF-8 bytes / 4, at least 1; float64 [n]."""
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in prompts]
    return np.maximum(np.array(sizes, dtype=np.float64) / BYTES_PER_TOKEN, 1.0)


def prices_of(entries: Sequence[Priced]) -> Values:
    """USD per million tokens in and out, float64 [c, 2]."""
    return np.array([(entry.usd_per_million_in, entry.usd_per_million_out) for entry in entries], dtype=np.float64)


@dataclass(frozen=True)
class CostModel:
    """For each candidate a line over a prompt's tokens: `level` + `slope` x tokens, never negative.

    `lines` is float64 [c, 4]: level, slope, and the fewest and most tokens that were seen. Without `prices` (float64
    [c, 2], those of the fit) they are USD, and a slope is not negative. With them they are tokens of the answer, and
    beyond what was seen a line stays level. A level of NaN says that no cost is known, which is never 0.
    """

    lines: Values
    prices: Values | None = None

    @classmethod
    def constant(cls, costs: Sequence[float]) -> CostModel:
        """The same USD for every prompt."""
        return cls(np.array([(cost, 0.0, 0.0, 0.0) for cost in costs], dtype=np.float64).reshape(-1, 4))

    def usd(self, tokens: Values, prices: Values | None = None) -> Values:
        """Expected USD float64 [n, c] of prompts of so many tokens [n]; NaN where unknown.

        `prices` [c, 2] replace those of the fit. Where the fit knew none they change nothing, since nobody knows how
        much of a cost was the answer's.
        """
        if self.prices is None:
            return self._on_lines(tokens[:, None])
        asked = self.prices if prices is None else prices
        answer = np.where(asked[:, 1] > 0, self.lengths(tokens) * asked[:, 1], 0.0)
        return (tokens[:, None] * asked[:, 0] + answer) / MILLION

    def lengths(self, tokens: Values) -> Values:
        """Expected tokens of the answers, float64 [n, c]; NaN where unknown."""
        if self.prices is None:
            return np.full((len(tokens), len(self.lines)), np.nan)
        return self._on_lines(np.clip(tokens[:, None], self.lines[:, 2], self.lines[:, 3]))

    def _on_lines(self, tokens: Values) -> Values:
        return np.maximum(self.lines[:, 0] + self.lines[:, 1] * tokens, 0.0)

    def joined(self, others: CostModel) -> CostModel:
        """These candidates followed by others, each as it was.

        Raises:
            InputError: one of the two knows prices and the other does not.
        """
        if (self.prices is None) != (others.prices is None):
            how = "without" if self.prices is None else "with"
            raise InputError(f"the router was fitted {how} the prices of a pool; take the candidate in {how} them too")
        lines = np.vstack([self.lines, others.lines])
        return CostModel(
            lines, None if self.prices is None or others.prices is None else np.vstack([self.prices, others.prices])
        )

    def to_json(self) -> Any:
        """A list of USD, where the lines are that: null, a figure, or level and slope; else lengths and prices."""
        if self.prices is None:
            return [_usd_entry(*line[:2]) for line in self.lines.tolist()]
        answers = [None if np.isnan(line[0]) else line for line in self.lines.tolist()]
        return {"answer_tokens": answers, "usd_per_million": self.prices.tolist()}

    @classmethod
    def from_json(cls, value: Any) -> CostModel:
        """The inverse of `to_json`; a list of nothing but figures is what routers held that knew means only."""
        if isinstance(value, dict):
            lines = [[np.nan, 0.0, 0.0, 0.0] if line is None else line for line in value["answer_tokens"]]
            prices = np.array(value["usd_per_million"], dtype=np.float64)
            return cls(np.array(lines, dtype=np.float64).reshape(-1, 4), prices.reshape(-1, 2))
        levels = [(c["level"], c["slope"]) if isinstance(c, dict) else (np.nan if c is None else c, 0.0) for c in value]
        return cls(np.array([(*line, 0.0, 0.0) for line in levels], dtype=np.float64).reshape(-1, 4))


def _usd_entry(level: float, slope: float) -> Any:
    if np.isnan(level):
        return None
    return {"level": level, "slope": slope} if slope else level


def fit_costs(tokens: Values, outcomes: Outcomes, prices: Values | None = None) -> CostModel:
    """Learn from outcomes' known costs; `tokens` [n] of their prompts, `prices` [c, 2] at which they were paid."""
    cost = outcomes.cost
    spread = float(tokens.var())
    lines = []
    for c in range(cost.shape[1]):
        known = ~np.isnan(cost[:, c])
        x, paid = tokens[known], cost[known, c]
        line = _cost_line(x, paid, spread) if prices is None else _length_line(x, paid, prices[c].tolist(), spread)
        seen = (0.0, 0.0) if prices is None or not len(x) else (x.min(), x.max())
        lines.append((*line, *seen))
    return CostModel(np.array(lines, dtype=np.float64).reshape(-1, 4), prices)


def cross_fit_costs(tokens: Values, outcomes: Outcomes, folds: Indices, prices: Values | None = None) -> Values:
    """Expected USD float64 [n, c] of each row by a fit that did not see its fold; NaN for rows of fold -1."""
    expected = np.full(outcomes.cost.shape, np.nan)
    for train, held_out in parts(outcomes, folds):
        expected[held_out] = fit_costs(tokens[train], outcomes.rows(train), prices).usd(tokens[held_out])
    return expected


def _cost_line(x: Values, paid: npt.NDArray[np.floating], spread: float) -> tuple[float, float]:
    """Level and slope in USD, neither negative; what always costs the same costs just that."""
    if not len(x):
        return np.nan, 0.0
    if (paid == paid[0]).all():
        return float(str(paid[0])), 0.0  # as it was written, not as the nearest float32
    y = paid.astype(np.float64)
    level, slope = _line(x, y, spread)
    if slope <= 0:
        return float(y.mean()), 0.0
    return (level, slope) if level >= 0 else (0.0, float(x @ y / (x @ x)))


def _length_line(
    x: Values, paid: npt.NDArray[np.floating], prices: Sequence[float], spread: float
) -> tuple[float, float]:
    """Level and slope in tokens of the answer; unknown where answers cost nothing, so that no cost tells of them."""
    usd_in, usd_out = prices
    if not len(x) or not usd_out > 0:
        return np.nan, 0.0
    return _line(x, (paid.astype(np.float64) * MILLION - x * usd_in) / usd_out, spread)


def _line(x: Values, y: Values, spread: float) -> tuple[float, float]:
    """Least squares, the slope pulled towards 0 by prior prompts of the whole table's `spread` (variance)."""
    away = x - x.mean()
    square = float(away @ away)
    slope = float(away @ (y - y.mean())) / (square + _PRIOR_PROMPTS * spread) if square > 0 else 0.0
    return float(y.mean() - slope * x.mean()), slope
