"""Wins, ties and losses of each candidate against the reference, by prompt and by tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics.cost_quality import TIE
from pipeline.runtime.arrays import FloatMatrix, Values

NAMES = ("wins", "ties", "losses")


@dataclass(frozen=True)
class Tallies:
    """Wins, ties and losses, float64 [rows, candidates] each; a row is a prompt or a tag.

    A cell that was not tried holds zero of each, so it counts as nothing at all.
    """

    wins: Values
    ties: Values
    losses: Values

    @property
    def tried(self) -> Values:
        return self.wins + self.ties + self.losses

    def net(self, tie: float) -> Values:
        """wins + s ties - losses."""
        return self.wins + tie * self.ties - self.losses

    def by_tag(self, member: Any) -> Tallies:
        """Of prompts [n, c], their sums over the prompts that have each tag (`member` [n, tags])."""
        return Tallies(*(np.asarray(member.T @ values) for values in self._parts))

    def of(self, rows: Any) -> Tallies:
        return Tallies(*(values[rows] for values in self._parts))

    def overall(self) -> Tallies:
        """Sums over all rows, [1, c]."""
        return Tallies(*(values.sum(axis=0, keepdims=True) for values in self._parts))

    def without(self, other: Tallies) -> Tallies:
        return Tallies(*(mine - theirs for mine, theirs in zip(self._parts, other._parts, strict=True)))

    def beside(self, other: Tallies) -> Tallies:
        """These candidates' columns followed by the other's."""
        return Tallies(*(np.hstack(pair) for pair in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[Values, Values, Values]:
        return self.wins, self.ties, self.losses


def against(quality: FloatMatrix, reference_quality: Values, expected: Values) -> Tallies:
    """Each candidate's outcome [n, c] against the reference on each prompt; a difference of at most .05 is a tie.

    `reference_quality` is float64 [n]. Where the reference was not tried (NaN), `expected` [n] in 0..1 is how surely it
    would have been right: a right answer then wins by the rest, and a wrong one loses by that much.
    """
    wins, losses = _sides(quality, reference_quality[:, None])
    above, _ = _sides(quality, np.zeros_like(reference_quality)[:, None])
    _, below = _sides(quality, np.ones_like(reference_quality)[:, None])
    unknown, sure = np.isnan(reference_quality)[:, None], expected[:, None]
    wins = np.where(unknown, (1 - sure) * above, wins)
    losses = np.where(unknown, sure * below, losses)
    tried = ~np.isnan(quality)
    return Tallies(*(np.where(tried, part, 0.0) for part in (wins, 1.0 - wins - losses, losses)))


def _sides(quality: FloatMatrix, reference_quality: Values) -> tuple[Values, Values]:
    difference = quality.astype(np.float64) - reference_quality
    return (difference > TIE + 1e-6).astype(np.float64), (difference < -TIE - 1e-6).astype(np.float64)
