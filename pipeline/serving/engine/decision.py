"""From a prompt's scores to a decision: by the policy of training, or by what a request asks for instead.

stored       as the version was trained: thresholds of its own, the one best candidate, quality against cost, ...
best         the one candidate of highest score, or the `top_k` highest
budget       what fits `budget_usd`: of a subset as much as does, in order of score; else the one of highest score
willingness  the highest score - `quality_per_usd` (lambda) x expected cost; unknown costs go behind all others

A candidate that the pool bars from a prompt is neither chosen nor ranked, whatever the request asks for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.policies.policy import BestPolicy, Policy, SubsetPolicy, WillingnessPolicy, below_threshold
from pipeline.runtime.errors import InputError, suggestion
from pipeline.serving.engine.scored import ScoredText, usd

STORED, BEST, BUDGET, WILLINGNESS = "stored", "best", "budget", "willingness"
SMALL_MARGIN = 0.05
"""A decision whose margin is smaller could as well have been another."""
POLICIES = (STORED, BEST, BUDGET, WILLINGNESS)


@dataclass(frozen=True)
class RoutingOptions:
    """What a request asks of the choice; the default asks for nothing but the stored policy.

    `top_k` chooses that many of the highest score, `thresholds` replaces some of the stored ones (0..1), and
    `budget_usd` belongs to the policy `budget`: USD for all that is chosen for one prompt; `quality_per_usd` to
    `willingness`. `labels` say what the prompt is, for a pool's `never_send`.
    """

    top_k: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    policy: str = STORED
    budget_usd: float | None = None
    quality_per_usd: float | None = None
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All but the policy, for the journal; labels and lambda only where they are given."""
        left_out = {"policy"} | {name for name in ("quality_per_usd", "labels") if getattr(self, name) in (None, ())}
        return {name: value for name, value in asdict(self).items() if name not in left_out}


@dataclass(frozen=True)
class Decision:
    """`chosen`, best first; `ranking` of all that may answer, in the order to ask them; `probability` of this choice.

    Our policies are deterministic, so that `probability` is 1.0; it is kept because judging a policy off-line needs it.
    `below_threshold`: one had to be chosen, and none that is reaches its threshold. `margin` (0..1) is how far the
    nearest score is from its threshold where a subset is chosen by thresholds, else how far the scores of the last
    chosen and of the next in the order are apart; None where there is no next.
    """

    chosen: tuple[str, ...]
    ranking: tuple[str, ...]
    probability: float
    policy: str
    below_threshold: bool = False
    margin: float | None = None


def decide(scored: ScoredText, candidates: tuple[str, ...], stored: Policy, options: RoutingOptions) -> Decision:
    """Choose among the candidates by the scores of one prompt.

    Raises:
        InputError: the options cannot be met: unknown policy or candidate, options that contradict each other, a budget
            that nothing fits; or the pool lets nobody answer.
    """
    check(options, candidates, stored)
    require_allowed(scored)
    policy = _policy_of(scored, candidates, stored, options)
    quality, cost = scored.quality[None, :], scored.cost[None, :]
    allowed = None if scored.allowed is None else scored.allowed[None, :]
    error = None if scored.error is None else scored.error[None, :]
    ranking = policy.ranking(quality, cost, allowed, error)[0]
    # A policy ranks every candidate, barred ones last; here they are cut off.
    order = [int(i) for i in ranking if scored.allowed is None or scored.allowed[i]]
    mask = policy.choose(quality, cost, allowed, error)[0]
    chosen = order[: options.top_k] if options.top_k is not None else [i for i in order if mask[i]]
    if options.budget_usd is not None:
        chosen = _affordable(scored, order, chosen, policy, options.budget_usd)
    if not chosen and not isinstance(policy, SubsetPolicy):
        raise InputError("the version's policy finds no candidate for this prompt, such as none within its budget")
    below = below_threshold(policy, quality, np.isin(np.arange(len(candidates)), chosen)[None, :])
    named, ranked = (tuple(candidates[i] for i in part) for part in (chosen, order))
    return Decision(named, ranked, 1.0, options.policy, bool(below[0]), _margin(scored, order, chosen, policy))


def _margin(scored: ScoredText, order: list[int], chosen: list[int], policy: Policy) -> float | None:
    """See `Decision`."""
    scores: list[float] = scored.quality.tolist()
    if isinstance(policy, SubsetPolicy) and not policy.exactly_one:
        return round(min(abs(scores[i] - policy.thresholds[i]) for i in order), 6)
    if not isinstance(policy, SubsetPolicy | BestPolicy):
        return None  # what else counts, such as cost, has no common measure with a score
    after = [i for i in order if i not in chosen]
    return round(abs(scores[chosen[-1]] - scores[after[0]]), 6) if after else None


def is_close(margin: float | None) -> bool:
    """Whether a decision of this margin could as well have been another."""
    return margin is not None and margin < SMALL_MARGIN


def require_allowed(scored: ScoredText) -> None:
    """Refuse a prompt that the pool lets no candidate answer."""
    if scored.allowed is not None and not scored.allowed.any():
        raise InputError(
            "the pool lets no candidate answer this prompt: each is retired, barred from its labels, or has too small "
            "a context; shorten the prompt, or see pool.yaml"
        )


def _policy_of(scored: ScoredText, candidates: tuple[str, ...], stored: Policy, options: RoutingOptions) -> Policy:
    """The policy that decides: what the request asks for, or the stored one with the request's thresholds."""
    if options.top_k is not None or options.policy == BEST:
        return BestPolicy()
    if options.policy == WILLINGNESS:
        assert options.quality_per_usd is not None
        if np.isnan(scored.cost).all():
            raise InputError("policy 'willingness' weighs costs, and this version knows no costs; ask for another")
        return WillingnessPolicy(options.quality_per_usd)
    # Within a budget a subset keeps its thresholds and drops what does not fit; a single choice is the best that fits.
    if options.policy == BUDGET and not isinstance(stored, SubsetPolicy):
        return BestPolicy()
    return _with_thresholds(stored, candidates, options.thresholds)


def check(options: RoutingOptions, candidates: Collection[str], stored: Policy) -> None:
    """Refuse options that can be met for no prompt.

    Raises:
        InputError: names the field and what to say instead.
    """
    if options.policy not in POLICIES:
        raise InputError(f"policy '{options.policy}' is unknown; known are {', '.join(POLICIES)}")
    for policy, name, amount in (
        (BUDGET, "budget_usd", options.budget_usd),
        (WILLINGNESS, "quality_per_usd", options.quality_per_usd),
    ):
        if (options.policy == policy) != (amount is not None):
            raise InputError(f"policy '{policy}' and {name} belong together; give both or neither")
        if amount is not None and not (math.isfinite(amount) and amount >= 0):
            raise InputError(f"{name} {amount} is not an amount; give 0 or more")
    if options.top_k is not None and not 1 <= options.top_k <= len(candidates):
        raise InputError(f"top_k {options.top_k} is out of range; this version has {len(candidates)} candidates")
    if options.top_k is not None and (options.thresholds or options.policy in (BUDGET, WILLINGNESS)):
        raise InputError("top_k chooses by itself; give it without thresholds, without a budget and without a lambda")
    if options.thresholds:
        _check_thresholds(options, candidates, stored)


def _check_thresholds(options: RoutingOptions, candidates: Collection[str], stored: Policy) -> None:
    """Refuse thresholds where no subset is chosen by them, of unknown candidates, or outside 0..1."""
    if options.policy in (BEST, WILLINGNESS) or not isinstance(stored, SubsetPolicy) or stored.exactly_one:
        raise InputError("thresholds apply where a subset is chosen by thresholds; leave them out here")
    for name, threshold in options.thresholds.items():
        if name not in candidates:
            hint = suggestion(name, candidates, "GET /v1/agents lists them")
            raise InputError(f"thresholds: '{name[:60]}' is no candidate of this version; {hint}")
        if not 0 <= threshold <= 1:
            raise InputError(f"thresholds: {threshold} of '{name}' is out of range; give 0 to 1")


def _with_thresholds(stored: Policy, candidates: tuple[str, ...], changed: Mapping[str, float]) -> Policy:
    """The stored policy with some of its thresholds replaced."""
    if not changed or not isinstance(stored, SubsetPolicy):
        return stored
    thresholds = zip(candidates, stored.thresholds, strict=True)
    return replace(stored, thresholds=tuple(changed.get(name, value) for name, value in thresholds))


def _affordable(scored: ScoredText, order: list[int], chosen: list[int], policy: Policy, budget: float) -> list[int]:
    """The chosen candidates that fit the budget together; where none does and the policy gives at least one, the best
    single candidate that fits.
    """
    cost = scored.cost.tolist()
    fits = [i for i in order if _within(cost[i], budget)]
    if not fits:
        known = [cost[i] for i in order if not math.isnan(cost[i])]
        cheapest = f"the cheapest costs {min(known):.4g} USD" if known else "this version knows no costs"
        raise InputError(f"no candidate fits budget_usd {budget:.6g}: {cheapest}")
    if not isinstance(policy, SubsetPolicy):
        return fits[:1]
    kept: list[int] = []
    # Greedy, best first: a dear candidate that does not fit is passed over, a cheaper one behind it may still fit.
    for i in chosen:
        if _within(sum(cost[k] for k in kept) + cost[i], budget):
            kept.append(i)
    return kept or (fits[:1] if policy.at_least_one else [])


def _within(cost: float, budget: float) -> bool:
    """Whether a cost is known and fits a budget."""
    # Rounded as a response reports it, so that a budget copied from a response's cost fits that candidate.
    reported = usd(cost)
    return reported is not None and reported <= budget
