"""Two versions on the holdout prompts that both have answered: paired differences, and the prompts that flip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.holdout import truth_in
from pipeline.data.outcomes import Outcomes, label_matrix, split_agents
from pipeline.metrics.bootstrap import Estimate, paired_differences, resamples, six_digits
from pipeline.metrics.multilabel import HEADLINE, chosen_quality, known_of_both
from pipeline.runtime.arrays import Binary
from pipeline.runtime.plain import JsonObject, plain_fields

if TYPE_CHECKING:
    import pandas as pd

KEY = ["prompt_id", "text_sha256"]
BETTER, WORSE = ("now right", "better"), ("now wrong", "worse")
"""What `Flip.outcome` says of a prompt that is routed better, or worse."""


@dataclass(frozen=True)
class PairedMetric:
    """One metric of both versions on so many prompts, and the paired difference, after minus before."""

    metric: str
    prompts: int
    before: float
    after: float
    difference: Estimate

    def to_json(self) -> JsonObject:
        """The difference stands beside its bounds, under the metric's name."""
        found = self.difference
        return {**plain_fields(self), "difference": found.value, "low": found.low, "high": found.high}


@dataclass(frozen=True)
class Flip:
    """A holdout prompt that the two versions route differently; `truth` is the newer version's label.

    `gain` is by how much the quality of what was chosen rose, where outcomes are graded; else None.
    """

    prompt_id: str
    text_sha256: str
    truth: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    gain: float | None = None

    @property
    def dropped(self) -> tuple[str, ...]:
        """Chosen before, and no longer."""
        return tuple(name for name in self.before if name not in self.after)

    @property
    def gained(self) -> tuple[str, ...]:
        """Chosen now, and not before."""
        return tuple(name for name in self.after if name not in self.before)

    def to_json(self) -> JsonObject:
        return {**plain_fields(self), "dropped": self.dropped, "gained": self.gained, "outcome": self.outcome}

    @property
    def outcome(self) -> str:
        """Whether the whole subset became right or wrong, or has more or fewer wrong agents; graded, by the gain."""
        if self.gain is not None:
            return BETTER[1] if self.gain > 0 else WORSE[1] if self.gain < 0 else "as good"
        truth = set(self.truth)
        old, new = (len(truth ^ set(chosen)) for chosen in (self.before, self.after))
        if not new or not old:
            return "now right" if not new else "now wrong"
        return "better" if new < old else "worse" if new > old else "as wrong"


@dataclass(frozen=True)
class HoldoutDiff:
    """What both answered is compared by the newer version's labels; `relabelled` counts labels that differ.

    `metrics` is empty where they have no prompt in common; quality and cost rest on those where the outcomes of both
    choices are known.
    """

    common: int
    only_before: int
    only_after: int
    relabelled: int
    metrics: tuple[PairedMetric, ...]
    flips: tuple[Flip, ...]

    @property
    def better(self) -> int:
        """How many flips are for the better."""
        return sum(flip.outcome in BETTER for flip in self.flips)

    @property
    def worse(self) -> int:
        """How many flips are for the worse."""
        return sum(flip.outcome in WORSE for flip in self.flips)


def diff_holdouts(
    older: pd.DataFrame, newer: pd.DataFrame, count: int, seed: int, graded: pd.DataFrame | None = None
) -> HoldoutDiff:
    """Compare two tables of predictions with `count` bootstrap draws.

    Columns: prompt_id, text_sha256, agents, chosen, then one a candidate. `graded` are the newer version's outcomes,
    `prompt_id, candidate, quality, cost`; without them its labels judge both.
    """
    columns = [*KEY, "agents", "chosen"]
    both = newer[columns].merge(older[columns], on=KEY, suffixes=("", "_before"))
    cells = {name: [split_agents(str(cell)) for cell in both[name]] for name in columns[2:]}
    before = [split_agents(str(cell)) for cell in both["chosen_before"]]
    labels = [split_agents(str(cell)) for cell in both["agents_before"]]
    names = tuple(dict.fromkeys([*newer.columns[len(columns) :], *older.columns[len(columns) :]]))
    truth = None if graded is None else truth_in(both, names, graded)
    flips = (
        Flip(str(prompt_id), str(sha256), label, old, new, gain)
        for prompt_id, sha256, label, old, new, gain in zip(
            both["prompt_id"], both["text_sha256"], cells["agents"], before, cells["chosen"],
            _gains(truth, names, before, cells["chosen"]), strict=True,
        )
        if set(old) != set(new)
    )  # fmt: skip
    subsets = (cells["agents"], before, cells["chosen"])
    asked, older_choice, newer_choice = (label_matrix(each, names) > 0.5 for each in subsets)
    judges = _label_metrics(asked) if truth is None else _graded_metrics(truth, older_choice, newer_choice)
    metrics = (judge.paired(older_choice, newer_choice, count, seed) for judge in judges if judge.rows.any())
    return HoldoutDiff(
        common=len(both),
        only_before=len(older) - len(both),
        only_after=len(newer) - len(both),
        relabelled=sum(set(old) != set(new) for old, new in zip(labels, cells["agents"], strict=True)),
        metrics=tuple(metrics),
        flips=tuple(flips),
    )


Subsets = list[tuple[str, ...]]


def _gains(truth: Outcomes | None, names: Sequence[str], before: Subsets, after: Subsets) -> list[float | None]:
    """By how much the quality of what was chosen rose, a prompt each; None where labels judge, or it is not known."""
    if truth is None:
        return [None] * len(after)
    old, new = (
        np.where(label_matrix(subsets, names) > 0.5, truth.quality, -np.inf).max(axis=1) for subsets in (before, after)
    )
    return [float(gain) if np.isfinite(gain) else None for gain in new - old]


@dataclass(frozen=True)
class _Metric:
    """A statistic, what it holds choices against, [n, c], and the prompts bool [n] where that is known of both
    choices.
    """

    name: str
    statistic: Callable[[Any, Binary], float]
    truth: Any
    rows: Binary

    def paired(self, old: Binary, new: Binary, count: int, seed: int) -> PairedMetric:
        """Of both versions' choices, on the same resamples."""
        truth, old, new = self.truth[self.rows], old[self.rows], new[self.rows]
        draws = resamples(len(truth), count, seed)
        before, after = self.statistic(truth, old), self.statistic(truth, new)
        difference = Estimate.of(after - before, paired_differences(self.statistic, truth, new, old, draws))
        return PairedMetric(self.name, len(truth), six_digits(before), six_digits(after), difference)


def _label_metrics(asked: Binary) -> list[_Metric]:
    everywhere = np.full(len(asked), True)
    return [_Metric(name, statistic, asked, everywhere) for name, statistic in HEADLINE.items()]


def _graded_metrics(truth: Outcomes, old: Binary, new: Binary) -> list[_Metric]:
    """Mean quality and mean cost of what was chosen."""
    cells = {"quality": truth.quality, "cost_usd": truth.cost}
    return [_Metric(name, chosen_quality, each, known_of_both(each, old, new)) for name, each in cells.items()]
