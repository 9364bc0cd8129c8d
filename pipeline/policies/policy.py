"""Policies: from expected qualities and costs to a decision. They are chosen inside train and stored with the router.

Each has two answers to a quality matrix [n, c] in 0..1, a cost matrix [n, c] in USD (NaN: unknown; None: all are) and
what may be chosen (bool [n, c]; None: everything). `choose` gives bool [n, c]; a row is empty where nothing may be
chosen. `ranking` gives the whole order, int64 [n, c], best first: whoever does not get an answer asks the next. What
may not be chosen stands last in it.

A cost that is not known is never taken for a low one: where costs are weighed, such a candidate stands behind every
one of known cost; within a budget it never fits. Of candidates that are worth the same the cheaper goes first.

A DoubtPolicy also needs the standard error of each quality [n, c]; the others do not look at it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from pipeline.metrics.preference import affordable, order_of, preferred
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.params import Section

Cells = npt.NDArray[np.floating]
_FIRST, _LATER, _LAST, _BARRED = range(4)
NEVER_STRONG = 2.0
"""A threshold that no difference of two qualities reaches."""


_GOES_WITH = {
    "quality_per_usd": ("willingness",),
    "mean_budget_usd": ("willingness",),
    "strong": ("pair",),
    "weak": ("pair",),
    "theta": ("pair",),
    "strong_share": ("pair",),
    "budget_usd": ("budget",),
    "doubt": ("best", "willingness", "budget", "auto"),
}
_SAY_THE_SAME = (
    ("quality_per_usd", "mean_budget_usd"),
    ("quality_per_usd", "give_up"),
    ("mean_budget_usd", "give_up"),
    ("theta", "strong_share"),
)


class PolicyParams(Section):
    """How a choice is made. `auto` is a subset for labels, and quality first for graded outcomes.

    willingness: quality minus `quality_per_usd` (lambda) times cost. Where it is left out it is chosen in train: the
    least cost that gives up at most `give_up` of the quality of quality-first, or, with `mean_budget_usd`, the best
    quality whose mean cost keeps within it.
    pair: `strong` where its expected quality is above that of `weak` by `theta`; left out, theta is calibrated in train
    so that `strong_share` of the prompts are strong calls. The names default to the best and the cheapest candidate.
    budget: the best expected quality among those whose expected cost is at most `budget_usd` a request.
    doubt: of these but pair and subset, each pays for a dearer candidate only where it is expected to gain more than so
    many standard errors; 0 asks for no standard errors.
    """

    kind: Literal["auto", "subset", "best", "willingness", "pair", "budget"] = "auto"
    quality_per_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    give_up: float = Field(default=0.005, ge=0, le=1)
    mean_budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    strong: str = ""
    weak: str = ""
    theta: float | None = Field(default=None, ge=-NEVER_STRONG, le=NEVER_STRONG)
    strong_share: float = Field(default=0.5, ge=0, le=1)
    budget_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    doubt: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_only_what_counts(self) -> Self:
        said = {name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default}
        for name in sorted(said & _GOES_WITH.keys()):
            if self.kind not in (kinds := _GOES_WITH[name]):
                raise ValueError(f"{name} goes with kind {', '.join(kinds)}, not with {self.kind}; leave it out")
        for one, other in _SAY_THE_SAME:
            if {one, other} <= said:
                raise ValueError(f"{one} says what {other} would choose; give one of them")
        return self


AUTO = PolicyParams()


@dataclass(frozen=True)
class SubsetPolicy:
    """Choose every candidate whose probability reaches its threshold; costs play no part.

    Where each training prompt needed at least one candidate, the likeliest is chosen when none reaches its own, of
    equals the cheaper: where one must be chosen anyhow, its calibrated probability is all that is to be gained. How
    near it comes to its threshold is no gain: a low one says that a candidate is seldom sure, not that it is right.
    Where each needed `exactly_one`, which is at least one too, the likeliest is chosen, whatever the thresholds.
    """

    thresholds: tuple[float, ...]
    at_least_one: bool
    exactly_one: bool = False

    def choose(
        self, quality: FloatMatrix, cost: Cells | None = None, allowed: Binary | None = None, error: Cells | None = None
    ) -> Binary:
        may = _allowed(quality, allowed)
        chosen: Binary = self.reached(quality) & may & (not self.exactly_one)
        if self.at_least_one:
            empty = ~chosen.any(axis=1) & may.any(axis=1)
            likeliest = preferred(np.where(may, quality, -np.inf), _costs(quality, cost))
            chosen[empty, likeliest[empty]] = True
        return chosen

    def reached(self, quality: FloatMatrix) -> Binary:
        """Whose probability reaches its threshold, bool [n, c]."""
        # Compared in float32, as the qualities are: in float64 a score that equals its threshold could lie below it.
        return np.asarray(quality >= np.asarray(self.thresholds, dtype=np.float32))

    def ranking(
        self, quality: FloatMatrix, cost: Cells | None = None, allowed: Binary | None = None, error: Cells | None = None
    ) -> Indices:
        """By probability, whatever the thresholds; of equal ones the cheaper first."""
        tiers = np.zeros(quality.shape, dtype=np.int64)
        return _order(quality, _costs(quality, cost), tiers, _allowed(quality, allowed))

    def to_json(self) -> dict[str, Any]:
        facts = {"kind": "subset", "thresholds": list(self.thresholds), "at_least_one": self.at_least_one}
        return {**facts, "exactly_one": True} if self.exactly_one else facts


class _SingleChoice(ABC):
    """Chooses the first of its ranking. A subclass says what a candidate is worth, and in which tier it stands."""

    kind: ClassVar[str]

    @abstractmethod
    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        """Worth and tier of each cell [n, c]: a lower tier goes first, then the higher worth; _LAST is not chosen."""

    def choose(
        self, quality: FloatMatrix, cost: Cells | None = None, allowed: Binary | None = None, error: Cells | None = None
    ) -> Binary:
        may = _allowed(quality, allowed) & (self._worth(quality, _costs(quality, cost))[1] < _LAST)
        first = self.ranking(quality, cost, allowed, error)[:, :1]
        chosen = np.zeros(quality.shape, dtype=np.bool_)
        np.put_along_axis(chosen, first, np.take_along_axis(may, first, axis=1), axis=1)
        return chosen

    def ranking(
        self, quality: FloatMatrix, cost: Cells | None = None, allowed: Binary | None = None, error: Cells | None = None
    ) -> Indices:
        price = _costs(quality, cost)
        worth, tiers = self._worth(quality, price)
        return _order(worth, price, tiers, _allowed(quality, allowed))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class BestPolicy(_SingleChoice):
    """Choose the one candidate of highest expected quality."""

    kind: ClassVar[str] = "best"

    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        return quality, np.zeros(quality.shape, dtype=np.int64)


@dataclass(frozen=True)
class WillingnessPolicy(_SingleChoice):
    """Choose the highest quality - lambda x cost; `quality_per_usd` is lambda. Unknown costs go behind all others."""

    quality_per_usd: float
    kind: ClassVar[str] = "willingness"

    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        known = ~np.isnan(cost)
        spent = np.where(known, cost, 0.0).astype(np.float64)
        return quality - self.quality_per_usd * spent, np.where(known, _FIRST, _LATER)


@dataclass(frozen=True)
class PairPolicy(_SingleChoice):
    """Choose column `strong` where its expected quality is at least `theta` above that of column `weak`, else `weak`.

    Where neither may be chosen it is the best of the others.
    """

    strong: int
    weak: int
    theta: float
    kind: ClassVar[str] = "pair"

    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        tiers = np.full(quality.shape, _LATER)
        tiers[:, [self.strong, self.weak]] = _FIRST
        worth = quality.astype(np.float64)
        calls = _quality_gap(worth, self.strong, self.weak) >= self.theta
        worth[:, self.strong], worth[:, self.weak] = calls, ~calls
        return worth, tiers


@dataclass(frozen=True)
class BudgetPolicy(_SingleChoice):
    """Choose the highest expected quality among what costs at most `usd` a request; nothing where nothing does."""

    usd: float
    kind: ClassVar[str] = "budget"

    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        return quality, np.where(affordable(cost, self.usd), _FIRST, _LAST)


@dataclass(frozen=True)
class DoubtPolicy(_SingleChoice):
    """Choose as `policy` does, but pay more only for a gain that is beyond doubt.

    From the cheapest upwards, a dearer candidate takes the place of the present choice only where it is worth more
    by over `doubt` standard errors of the difference, sqrt(e1^2 + e2^2): as if two estimates erred independently. One
    that is worth no more than a cheaper one never does. An unknown cost counts as the highest there is. Behind the one
    that is chosen stand the others as `policy` ranks them.
    """

    policy: BestPolicy | WillingnessPolicy | BudgetPolicy
    doubt: float

    def _worth(self, quality: FloatMatrix, cost: Cells) -> tuple[Cells, Indices]:
        return self.policy._worth(quality, cost)

    def ranking(
        self, quality: FloatMatrix, cost: Cells | None = None, allowed: Binary | None = None, error: Cells | None = None
    ) -> Indices:
        if error is None:
            raise ValueError("a policy that doubts needs the standard error of each expected quality")
        order = self.policy.ranking(quality, cost, allowed)
        choice = self._choice(quality, _costs(quality, cost), _allowed(quality, allowed), error)
        # A stable sort on "is not the choice" moves the choice to the front and leaves the others as they were.
        front = np.argsort(order != choice[:, None], axis=1, kind="stable")
        return np.take_along_axis(order, front, axis=1)

    def _choice(self, quality: FloatMatrix, cost: Cells, allowed: Binary, error: Cells) -> Indices:
        """The chosen column of each row, int64 [n], from the cheapest upwards; only the row's best tier takes part."""
        worth, tiers = self._worth(quality, cost)
        tiers = np.where(allowed, tiers, _BARRED)
        price = np.where(np.isnan(cost), np.inf, cost)
        # lexsort's last key comes first: by tier, then from cheap to dear, of equal prices the best before the others.
        by_price = np.lexsort((-worth, price, tiers), axis=1)
        rows = np.arange(len(quality))
        choice: Indices = by_price[:, 0]
        highest = worth[rows, choice]
        for each in by_price[:, 1:].T:
            here, better = tiers[rows, each] == tiers[rows, choice], worth[rows, each] > highest
            gain = worth[rows, each].astype(np.float64) - worth[rows, choice]
            certain = gain > self.doubt * np.hypot(error[rows, each], error[rows, choice])
            choice = np.where(here & better & certain, each, choice)
            # Also of those passed over: what is worth no more than one that is cheaper never takes its place.
            highest = np.where(here & better, worth[rows, each], highest)
        return choice

    def to_json(self) -> dict[str, Any]:
        return {**self.policy.to_json(), "doubt": self.doubt}


Policy = SubsetPolicy | BestPolicy | WillingnessPolicy | PairPolicy | BudgetPolicy | DoubtPolicy
_KINDS: dict[str, type[BestPolicy | WillingnessPolicy | PairPolicy | BudgetPolicy]] = {
    policy.kind: policy for policy in (BestPolicy, WillingnessPolicy, PairPolicy, BudgetPolicy)
}


def policy_from_json(value: dict[str, Any]) -> Policy:
    """The inverse of a policy's `to_json`.

    Raises:
        KeyError: a kind that this release does not know.
        TypeError: a figure is missing, or one too many.
    """
    figures = {name: figure for name, figure in value.items() if name != "kind"}
    if value["kind"] == "subset":
        bounds = bool(figures["at_least_one"]), bool(figures.get("exactly_one", False))
        return SubsetPolicy(tuple(map(float, figures["thresholds"])), *bounds)
    doubt = figures.pop("doubt", 0.0)
    return doubting(_KINDS[value["kind"]](**figures), doubt)


def doubting(policy: Policy, doubt: float) -> Policy:
    """The policy as a DoubtPolicy; unchanged where the doubt is 0.

    Raises:
        TypeError: it is of a kind that cannot.
    """
    if not doubt:
        return policy
    if not isinstance(policy, BestPolicy | WillingnessPolicy | BudgetPolicy):
        raise TypeError(f"{type(policy).__name__} cannot doubt")
    return DoubtPolicy(policy, doubt)


def below_threshold(policy: Policy, quality: FloatMatrix, chosen: Binary) -> Binary:
    """For which prompts, bool [n], something is chosen (bool [n, c]) of which nothing reaches its threshold, if any."""
    if not isinstance(policy, SubsetPolicy):
        return np.zeros(len(quality), dtype=np.bool_)
    return chosen.any(axis=1) & np.logical_not((chosen & policy.reached(quality)).any(axis=1))


def _quality_gap(quality: Cells, strong: int, weak: int) -> Cells:
    """How much more is expected of the strong candidate than of the weak one: float64 [n]."""
    return quality[:, strong].astype(np.float64) - quality[:, weak]


def _allowed(quality: FloatMatrix, allowed: Binary | None) -> Binary:
    """What may be chosen, bool [n, c]; everything where nothing is said."""
    return np.ones(quality.shape, dtype=np.bool_) if allowed is None else allowed


def _costs(quality: FloatMatrix, cost: Cells | None) -> Cells:
    """Costs [n, c]; all unknown (NaN) where none are given."""
    return np.full(quality.shape, np.nan) if cost is None else cost


def _order(worth: Cells, price: Cells, tiers: Indices, allowed: Binary) -> Indices:
    """By tier, then by worth, of equals the cheaper first; what is not allowed last."""
    return order_of(worth, price, np.where(allowed, tiers, _BARRED))
