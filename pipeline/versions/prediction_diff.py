"""Two versions on the holdout prompts that both have answered: paired differences, and the prompts that flip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.data.outcomes import label_matrix, split_agents
from pipeline.metrics.bootstrap import Estimate, paired_differences, resamples, six_decimals
from pipeline.metrics.multilabel import HEADLINE, Statistic
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.plain import JsonObject, plain_fields

if TYPE_CHECKING:
    import pandas as pd

KEY = ["prompt_id", "text_sha256"]


@dataclass(frozen=True)
class PairedMetric:
    """One metric of both versions, and the paired difference, after minus before."""

    metric: str
    before: float
    after: float
    difference: Estimate

    def to_json(self) -> dict[str, str | float]:
        """The difference stands beside its bounds, under the metric's name."""
        found = self.difference
        told: dict[str, str | float] = {"metric": self.metric, "before": self.before, "after": self.after}
        return {**told, "difference": found.value, "low": found.low, "high": found.high}


@dataclass(frozen=True)
class Flip:
    """A holdout prompt that the two versions route differently; `truth` is the newer version's label."""

    prompt_id: str
    text_sha256: str
    truth: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]

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
        """Whether the whole subset became right or wrong, or how many wrong agents more or fewer there are."""
        truth = set(self.truth)
        old, new = (len(truth ^ set(chosen)) for chosen in (self.before, self.after))
        if not new or not old:
            return "now right" if not new else "now wrong"
        return "better" if new < old else "worse" if new > old else "as wrong"


@dataclass(frozen=True)
class HoldoutDiff:
    """What both answered is compared by the newer version's labels; `relabelled` counts labels that differ.

    `metrics` is empty where they have no prompt in common.
    """

    common: int
    only_before: int
    only_after: int
    relabelled: int
    metrics: tuple[PairedMetric, ...]
    flips: tuple[Flip, ...]


def diff_holdouts(older: pd.DataFrame, newer: pd.DataFrame, count: int, seed: int) -> HoldoutDiff:
    """Compare two tables of predictions with `count` bootstrap draws.

    Columns: prompt_id, text_sha256, agents, chosen, then one a candidate.
    """
    columns = [*KEY, "agents", "chosen"]
    both = newer[columns].merge(older[columns], on=KEY, suffixes=("", "_before"))
    cells = {name: [split_agents(str(cell)) for cell in both[name]] for name in columns[2:]}
    before = [split_agents(str(cell)) for cell in both["chosen_before"]]
    labels = [split_agents(str(cell)) for cell in both["agents_before"]]
    names = tuple(dict.fromkeys([*newer.columns[len(columns) :], *older.columns[len(columns) :]]))
    keys = zip(both["prompt_id"], both["text_sha256"], strict=True)
    flips = (
        Flip(str(prompt_id), str(sha256), truth, old, new)
        for (prompt_id, sha256), truth, old, new in zip(keys, cells["agents"], before, cells["chosen"], strict=True)
        if set(old) != set(new)
    )
    return HoldoutDiff(
        common=len(both),
        only_before=len(older) - len(both),
        only_after=len(newer) - len(both),
        relabelled=sum(set(old) != set(new) for old, new in zip(labels, cells["agents"], strict=True)),
        metrics=_paired(names, cells["agents"], before, cells["chosen"], count, seed) if len(both) else (),
        flips=tuple(flips),
    )


Subsets = list[tuple[str, ...]]


def _paired(
    names: tuple[str, ...], truth: Subsets, before: Subsets, after: Subsets, count: int, seed: int
) -> tuple[PairedMetric, ...]:
    """Each headline metric of both, on the same resamples."""
    t, old, new = (label_matrix(subsets, names) > 0.5 for subsets in (truth, before, after))
    draws = resamples(len(truth), count, seed)
    return tuple(_metric(name, statistic, t, old, new, draws) for name, statistic in HEADLINE.items())


def _metric(name: str, statistic: Statistic, truth: Binary, old: Binary, new: Binary, draws: Indices) -> PairedMetric:
    before, after = statistic(truth, old), statistic(truth, new)
    difference = Estimate.of(after - before, paired_differences(statistic, truth, new, old, draws), six_decimals)
    return PairedMetric(name, six_decimals(before), six_decimals(after), difference)
