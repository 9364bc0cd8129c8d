"""What a comparison of one model, a mixture and routers says."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.metrics.bootstrap import Estimate
from pipeline.runtime.plain import OMITTED

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


@dataclass(frozen=True)
class ComparedChoices:
    """All that was compared. `router` names the one that is best over all; without costs there is no `mixture`."""

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


@dataclass(frozen=True)
class Recommendation(ComparedChoices):
    """What to do: ONE, MIXTURE, USE_ROUTER or NOTHING, and the sentence that says so."""

    verdict: str = NOTHING
    sentence: str = ""
