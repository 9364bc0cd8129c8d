"""From the figures of a comparison to one plain sentence: one model, a mixture or a router."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.metrics.bootstrap import Estimate
from pipeline.runtime.plain import OMITTED

MARGIN = 0.005
"""A router that may be this much worse, but no more, counts as being as good."""


def verdict(found: ComparedChoices) -> tuple[str, str]:
    """ONE, MIXTURE, USE_ROUTER or NOTHING, and the sentence that says so."""
    return _for_quality(found) if found.budget_usd is None else _within_budget(found)


def _for_quality(found: ComparedChoices) -> tuple[str, str]:
    """Quality decides; cost decides between what is as good, if a mixture could not have saved as much."""
    quality, cost = found.router_minus_best_single.quality, found.router_minus_best_single.cost_usd
    equal = found.mixture.router_minus_mixture_at_equal_cost if found.mixture else None
    pays = cost.high < 0 and equal is not None and _is_above_0(equal)
    use, ours = f"Use {found.router}: {'it' if found.has_one_router else found.ours}", found.ours
    if not quality.is_known:
        return NOTHING, f"Nothing can be said: {ours} chose no candidate that was tried where {found.single} was too."
    if _is_above_0(quality):
        return USE_ROUTER, f"{use} beat {found.single} by {spread(quality)}{_at_what_cost(found)}."
    if quality.low >= -MARGIN and pays:
        return USE_ROUTER, f"{use} was as good as {found.single} ({spread(quality)}){_at_what_cost(found)}."
    beaten = found.single if found.single_varies else "it"
    alone = f"Use {found.best_single} alone: no router beat {beaten} (difference {spread(quality)})"
    if pays and equal:
        spent = found.rows["router"].cost_usd.value
        return ONE, f"{alone}; to spend {usd(spent)} a prompt, {ours} beat a mixture by {spread(equal)}."
    return ONE, f"{alone}."


def _within_budget(found: ComparedChoices) -> tuple[str, str]:
    """A router has to beat the best candidate within the budget and the mixture that costs as much."""
    single, mixture = found.single, found.mixture
    if found.budget_usd is None or mixture is None:
        raise ValueError("a comparison within a budget needs the budget and costs")
    if mixture.router_minus_mixture_at_budget is None or mixture.minus_best_single is None:
        raise ValueError("a comparison within a budget needs the mixture at that budget")
    start = f"With {usd(found.budget_usd)} a prompt use"
    over_single = found.router_minus_best_single.quality
    over_mixture = mixture.router_minus_mixture_at_budget.quality
    mixed = mixture.minus_best_single.quality
    if _is_above_0(over_single) and _is_above_0(over_mixture):
        ours = "it" if found.has_one_router else found.ours
        beaten = f"{single} by {spread(over_single)} and a mixture by {spread(over_mixture)}"
        return USE_ROUTER, f"{start} {found.router}: {ours} beat {beaten}."
    if _is_above_0(mixed):
        return MIXTURE, (
            f"{start} a random mixture of {mixture.pair}: it beat {single} by {spread(mixed)}, and no router beat it "
            f"(difference {spread(over_mixture)})."
        )
    beaten = f" {single}" if found.single_varies else " it"
    return ONE, (
        f"{start} {found.best_single} alone: neither a router (difference {spread(over_single)}) nor a mixture "
        f"beat{beaten}."
    )


def _is_above_0(found: Estimate) -> bool:
    """Whether the whole interval lies above 0 as it is told, in three decimals; one that is not known does not."""
    return found.is_known and short(found.low) != "0" and found.low > 0


def _at_what_cost(found: ComparedChoices) -> str:
    """What share of the best single candidate's cost the router takes; empty where either is not known."""
    spent, single = (found.rows[name].cost_usd for name in ("router", "best_single"))
    return f", at {spent.value / single.value:.0%} of its cost" if spent.is_known and single.value > 0 else ""


def spread(found: Estimate) -> str:
    """`-.003, 95 % -.010 to .004`."""
    if not found.is_known:
        return "not known"
    return f"{short(found.value)}, 95 % {short(found.low)} to {short(found.high)}"


def short(value: float) -> str:
    """Three decimals without the leading zero."""
    text = f"{value:.3f}"
    return "0" if float(text) == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text


def usd(value: float) -> str:
    """Three significant digits, never in powers of ten: `USD .00251`."""
    text = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"USD {text.replace('0.', '.', 1) if abs(value) < 1 and value else text}"


ONE, MIXTURE, USE_ROUTER, NOTHING = "one", "mixture", "router", "none"


@dataclass(frozen=True)
class ChoiceFigures:
    """Quality and cost of one way of choosing, and on how many prompts they rest."""

    quality: Estimate
    cost_usd: Estimate
    prompts: int
    untried: int


@dataclass(frozen=True)
class QualityDifference(Estimate):
    """A difference in quality, and in which share of resamples it is above 0."""

    share_of_resamples_above_0: float


@dataclass(frozen=True)
class Difference:
    """One way of choosing minus another, on the prompts where both are known."""

    quality: QualityDifference
    cost_usd: Estimate
    prompts: int


@dataclass(frozen=True)
class EqualDifference(Estimate):
    """A difference where the other figure is made equal, and on how many prompts."""

    prompts: int


@dataclass(frozen=True)
class MixtureFigures:
    """A random mixture of two candidates beside the router: at equal cost, at equal quality, within a budget.

    `share_of_dearer` is the dearer one's share of the prompts. A comparison is None where no prompt allows it, or where
    no mixture is as good as the router; the last two stand only where a budget was given.
    """

    cheaper: str | None
    dearer: str | None
    share_of_dearer: float
    router_minus_mixture_at_equal_cost: EqualDifference | None
    router_minus_mixture_at_equal_quality_usd: EqualDifference | None
    router_minus_mixture_at_budget: Difference | None = field(default=None, metadata=OMITTED)
    minus_best_single: Difference | None = field(default=None, metadata=OMITTED)

    @property
    def pair(self) -> str:
        """`small (65% of prompts) and big (35%)`."""
        dearer = self.share_of_dearer
        return f"{self.cheaper} ({1 - dearer:.0%} of prompts) and {self.dearer} ({dearer:.0%})"


@dataclass(frozen=True)
class ComparedChoices:
    """All that was compared. Without costs there is no `mixture`.

    What is compared is the best router of each fold, told by the other folds, and the best single candidate of each.
    `router` and `best_single` name the router that is best over all and the candidate that was picked most often;
    where only one router competes, or all folds agree on the candidate, they are what is compared.
    """

    prompts: int
    candidates: int
    folds: int
    budget_usd: float | None
    router: str
    best_single: str | None
    rows: dict[str, ChoiceFigures]
    router_minus_best_single: Difference
    mixture: MixtureFigures | None
    router_minus_best_per_dataset: Difference | None = field(default=None, metadata=OMITTED)
    has_one_router: bool = True
    single_varies: bool = False

    @property
    def ours(self) -> str:
        """The router that is compared."""
        return self.router if self.has_one_router else "the best router of each fold"

    @property
    def single(self) -> str:
        """The single candidate that it is compared with."""
        return "the best single candidate of each fold" if self.single_varies else f"{self.best_single} alone"


@dataclass(frozen=True)
class Recommendation(ComparedChoices):
    """What to do: ONE, MIXTURE, USE_ROUTER or NOTHING, and the sentence that says so."""

    verdict: str = NOTHING
    sentence: str = ""
