"""From a prompt's scores to a decision: the policy of training, or what a request wishes instead.

stored   as the version was trained: thresholds of its own, or the one best candidate
best     the one candidate of highest score, or the `top_k` highest
budget   as stored, but candidates are taken in order of score while their expected cost fits `budget_usd`
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.errors import InputError
from pipeline.policies import BestPolicy, Policy, SubsetPolicy
from pipeline.serving.answers import Scored

STORED, BEST, BUDGET = "stored", "best", "budget"
POLICIES = (STORED, BEST, BUDGET)
_ROUNDING = 1 + 1e-4
"""Costs are means in float32, told to four digits: a budget of just what something is said to cost affords it."""


@dataclass(frozen=True)
class Wish:
    """What a request asks of the choice; the default asks for nothing but the stored policy.

    `top_k` chooses that many of the highest score, `thresholds` replaces some of the stored ones (0..1), and
    `budget_usd` belongs to the policy `budget`: USD for all that is chosen for one prompt.
    """

    top_k: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    policy: str = STORED
    budget_usd: float | None = None


@dataclass(frozen=True)
class Decision:
    """`chosen`, best first; `ranking` of all candidates by score; the probability with which chance would choose so.

    Our policies are deterministic, so that `probability` is 1.0; it is kept because judging a policy off-line needs it.
    """

    chosen: tuple[str, ...]
    ranking: tuple[str, ...]
    probability: float
    policy: str


def decide(scored: Scored, candidates: tuple[str, ...], stored: Policy, wish: Wish) -> Decision:
    """Choose among the candidates by the scores of one prompt.

    Raises:
        InputError: the wish cannot be met: unknown policy or candidate, wishes that contradict each other, a budget
            that nothing fits.
    """
    check(wish, candidates, stored)
    order = np.argsort(-scored.quality, kind="stable")
    if wish.top_k is not None or wish.policy == BEST:
        chosen = [int(i) for i in order[: wish.top_k or 1]]
    else:
        policy = _with_thresholds(stored, candidates, wish.thresholds)
        mask = policy.choose(scored.quality[None, :])[0]
        chosen = [int(i) for i in order if mask[i]]
        if wish.budget_usd is not None:
            chosen = _affordable(scored, order.tolist(), chosen, policy, wish.budget_usd)
    named = tuple(candidates[i] for i in chosen)
    return Decision(named, tuple(candidates[i] for i in order), 1.0, wish.policy)


def check(wish: Wish, candidates: Collection[str], stored: Policy) -> None:
    """Refuse a wish that cannot be met for any prompt.

    Raises:
        InputError: names the field and what to say instead.
    """
    if wish.policy not in POLICIES:
        raise InputError(f"policy '{wish.policy}' is unknown; known are {', '.join(POLICIES)}")
    if (wish.policy == BUDGET) != (wish.budget_usd is not None):
        raise InputError("policy 'budget' and budget_usd belong together; give both or neither")
    if wish.budget_usd is not None and not (math.isfinite(wish.budget_usd) and wish.budget_usd >= 0):
        raise InputError(f"budget_usd {wish.budget_usd} is not an amount; give USD, 0 or more")
    if wish.top_k is not None and not 1 <= wish.top_k <= len(candidates):
        raise InputError(f"top_k {wish.top_k} is out of range; this version has {len(candidates)} candidates")
    if wish.top_k is not None and (wish.thresholds or wish.policy == BUDGET):
        raise InputError("top_k chooses by itself; give it without thresholds and without a budget")
    if wish.thresholds:
        _check_thresholds(wish, candidates, stored)


def _check_thresholds(wish: Wish, candidates: Collection[str], stored: Policy) -> None:
    if wish.policy == BEST or not isinstance(stored, SubsetPolicy):
        raise InputError("thresholds apply where a subset is chosen by thresholds; leave them out here")
    for name, threshold in wish.thresholds.items():
        if name not in candidates:
            near = difflib.get_close_matches(name, candidates, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "GET /v1/agents lists them"
            raise InputError(f"thresholds: '{name[:60]}' is no candidate of this version; {hint}")
        if not 0 <= threshold <= 1:
            raise InputError(f"thresholds: {threshold} of '{name}' is out of range; give 0 to 1")


def _with_thresholds(stored: Policy, candidates: tuple[str, ...], changed: Mapping[str, float]) -> Policy:
    if not changed or not isinstance(stored, SubsetPolicy):
        return stored
    thresholds = zip(candidates, stored.thresholds, strict=True)
    return SubsetPolicy(tuple(changed.get(name, value) for name, value in thresholds), stored.at_least_one)


def _affordable(scored: Scored, order: list[int], chosen: list[int], policy: Policy, budget: float) -> list[int]:
    """What fits of the chosen; where the policy owes one candidate and none fits, the best that does."""
    cost = scored.cost.astype(np.float64)
    limit = budget * _ROUNDING
    fits = [i for i in order if cost[i] <= limit]  # an unknown cost (NaN) does not fit
    if not fits:
        known = cost[np.isfinite(cost)]
        cheapest = f"the cheapest costs {known.min():.6g} USD" if known.size else "this version knows no costs"
        raise InputError(f"no candidate fits budget_usd {budget:.6g}: {cheapest}")
    if isinstance(policy, BestPolicy):
        return fits[:1]
    kept, left = [], limit
    for i in chosen:
        if cost[i] <= left:
            kept.append(i)
            left -= float(cost[i])
    return kept or (fits[:1] if policy.at_least_one else [])
