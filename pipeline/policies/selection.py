"""A policy's numbers, chosen inside train: on expectations of fits that saw neither the prompt nor its outcomes.

What they were chosen on is kept beside them. Nothing that a router is judged by later may come in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.cost_quality import taken, willingness
from pipeline.metrics.preference import affordable, preferred
from pipeline.policies.policy import (
    NEVER_STRONG,
    BestPolicy,
    BudgetPolicy,
    PairPolicy,
    Policy,
    PolicyParams,
    WillingnessPolicy,
    doubting,
)
from pipeline.policies.thresholds import fit_subset_policy
from pipeline.runtime.arrays import Indices, Values
from pipeline.runtime.errors import InputError, listed

Facts = dict[str, Any]


@dataclass(frozen=True)
class HeldOutOutcomes:
    """n judged train prompts and c candidates: what fits without a prompt's fold expected of it, and what came of it.

    Qualities are in 0..1, costs USD, all float64 [n, c], NaN where unknown; `folds` is int64 [n]. `expected_error`
    float64 [n, c] are the standard errors of the expected qualities; None from a system that knows none.
    """

    candidates: tuple[str, ...]
    expected_quality: Values
    expected_cost: Values
    quality: Values
    cost: Values
    folds: Indices
    expected_error: Values | None = None

    @property
    def has_costs(self) -> bool:
        return bool(np.isfinite(self.expected_cost).any() and np.isfinite(self.cost).any())


@dataclass(frozen=True)
class Chosen:
    """A policy, and on what its numbers were chosen: rows, folds, criterion, held-out quality and cost."""

    policy: Policy
    chosen_on: Facts

    def to_json(self) -> Facts:
        return {"policy": self.policy.to_json(), "chosen_on": self.chosen_on}


def choose_policy(
    params: PolicyParams, held_out: HeldOutOutcomes, is_labels: bool, is_exclusive: bool = False
) -> Chosen:
    """The policy that is asked for, with what is left open chosen on held-out rows.

    Raises:
        InputError: it needs costs, thresholds, standard errors or a candidate that there are none of.
    """
    require_possible(
        params, held_out.candidates, is_labels, held_out.has_costs, has_errors=held_out.expected_error is not None
    )
    kind = _kind(params, is_labels)
    if kind == "subset":
        return _subset(held_out, is_exclusive)
    if kind == "pair":
        return _pair(params, held_out)
    if kind == "best":
        return _with_figures(doubting(BestPolicy(), params.doubt), held_out, "quality first")
    if params.budget_usd is not None:
        return _with_figures(doubting(BudgetPolicy(params.budget_usd), params.doubt), held_out, "given")
    return choose_willingness(params, held_out)


def _kind(params: PolicyParams, is_labels: bool) -> str:
    return params.kind if params.kind != "auto" else "subset" if is_labels else "best"


def require_possible(
    params: PolicyParams, candidates: Sequence[str], is_labels: bool, has_costs: bool, has_errors: bool
) -> None:
    """What a policy asks of a table and a system, known before anything is trained.

    Raises:
        InputError: it needs costs, labels, grades, standard errors or a candidate that there are none of.
    """
    if params.doubt:
        _require_grounds_to_doubt(is_labels, has_costs, has_errors)
    kind = _kind(params, is_labels)
    if kind == "subset" and not is_labels:
        raise InputError("policy.kind subset is for tables with agents; take 'best' or 'willingness' for graded ones")
    if kind in ("willingness", "budget") and not has_costs:
        raise InputError(
            f"policy.kind {kind} weighs costs, and the table has none; add a column 'cost', or take 'best'"
        )
    if kind == "budget" and params.budget_usd is None:
        raise InputError("policy.kind budget needs policy.budget_usd, the most that one request may cost in USD")
    if kind == "pair":
        for role, name in (("strong", params.strong), ("weak", params.weak)):
            if name and name not in candidates:
                raise InputError(f"policy.{role} '{name}' is no candidate of the table; known are {listed(candidates)}")
        if len(candidates) < 2:
            raise InputError("policy.kind pair needs two candidates, and the table has one")


def _require_grounds_to_doubt(is_labels: bool, has_costs: bool, has_errors: bool) -> None:
    if is_labels:
        raise InputError("policy.doubt is for graded outcomes, and this is a table with labels; leave it out")
    if not has_costs:
        raise InputError("policy.doubt weighs costs, and the table has none; add a column 'cost', or leave it out")
    if not has_errors:
        raise InputError("policy.doubt: the system knows no uncertainty of held-out prompts; leave it out")


def choose_willingness(params: PolicyParams, held_out: HeldOutOutcomes) -> Chosen:
    """Lambda: given, or the cheapest that keeps the quality, or the best that keeps within the mean budget.

    Quality is kept where, over the prompts on which both outcomes are known, it is at most `give_up` below that of
    quality-first. Of several lambdas that do as well the middle one is taken, which is steadier than either end.

    Raises:
        InputError: no lambda keeps within the mean budget.
    """

    def at(rate: float) -> Policy:
        return doubting(WillingnessPolicy(rate), params.doubt)

    if params.quality_per_usd is not None:
        return _with_figures(at(params.quality_per_usd), held_out, "given")
    rates = willingness(held_out.expected_cost)
    points = [_lost_and_spent(at(float(rate)), held_out) for rate in rates]
    lost, spent = np.array([lost for lost, _ in points]), np.array([spent for _, spent in points])
    if params.mean_budget_usd is None:
        criterion = f"least cost that gives up at most {params.give_up:g} of the quality of quality-first"
        tolerated = max(params.give_up, float(np.fmin.reduce(lost, initial=np.inf)))
        # Where every lambda loses more than `give_up`, the least loss counts; fmin and fmax pass over unknowns (NaN).
        score = np.where(lost <= tolerated + 1e-12, -spent, -np.inf)
    else:
        criterion = f"best quality at a mean cost of at most USD {params.mean_budget_usd:g}"
        score = np.where(affordable(spent, params.mean_budget_usd), -lost, -np.inf)
        if not np.isfinite(score).any():
            raise InputError(
                f"policy.mean_budget_usd {params.mean_budget_usd:g} is below the least held-out cost, "
                f"{np.nanmin(spent):.4g} a prompt; raise it"
            )
    # Equal means may differ in their last bits, hence the tolerance.
    best = np.flatnonzero(score >= np.fmax.reduce(score, initial=-np.inf) - 1e-12)
    return _with_figures(at(float(rates[best[len(best) // 2]])), held_out, criterion)


def _lost_and_spent(policy: Policy, held_out: HeldOutOutcomes) -> tuple[float, float]:
    """Quality lost against quality-first where both are known, and mean cost; NaN where unknown."""
    first = _outcomes_of(BestPolicy(), held_out)[0]
    quality, cost = _outcomes_of(policy, held_out)
    return float(known_mean(first - quality)), float(known_mean(cost))


def _pair(params: PolicyParams, held_out: HeldOutOutcomes) -> Chosen:
    """Theta: given, or the cut among held-out differences whose share of strong calls is nearest to the wanted one."""
    strong, weak = _columns(params, held_out)
    if strong == weak:
        raise InputError(f"policy: '{held_out.candidates[strong]}' is both strong and weak; name two candidates")
    apart = held_out.expected_quality[:, strong] - held_out.expected_quality[:, weak]
    theta = params.theta if params.theta is not None else calibrated_theta(apart, params.strong_share)
    criterion = f"share of strong calls nearest to {params.strong_share:g}" if params.theta is None else "given"
    chosen = _with_figures(PairPolicy(strong, weak, theta), held_out, criterion)
    facts = {
        "strong": held_out.candidates[strong],
        "weak": held_out.candidates[weak],
        "strong_share": round(float((apart >= theta).mean()), 6),
        **({"wanted_share": params.strong_share} if params.theta is None else {}),
    }
    return Chosen(chosen.policy, {**chosen.chosen_on, **facts})


def calibrated_theta(apart: Values, share: float) -> float:
    """The threshold that `share` (0..1) of the differences `apart` [n] reach, or as near as equal ones allow.

    As RouteLLM calibrates (Ong et al., arXiv 2406.18665), but halfway between two differences that were seen.
    """
    seen, counts = np.unique(apart, return_counts=True)
    cuts = np.concatenate([[-NEVER_STRONG], (seen[1:] + seen[:-1]) / 2, [NEVER_STRONG]])
    shares = np.append(np.cumsum(counts[::-1])[::-1], 0) / len(apart)
    return float(cuts[np.abs(shares - share).argmin()])


def _columns(params: PolicyParams, held_out: HeldOutOutcomes) -> tuple[int, int]:
    """The strong candidate, by default the best of train, and the weak one: the other of two, or the cheapest."""
    names = held_out.candidates
    given = names.index(params.weak) if params.weak else -1
    level = np.nan_to_num(known_mean(held_out.quality, axis=0), nan=-np.inf)
    if given >= 0:
        level[given] = -np.inf
    spent = known_mean(held_out.cost, axis=0)
    strong = names.index(params.strong) if params.strong else int(preferred(level, spent))
    if given >= 0:
        return strong, given
    if len(names) == 2:
        return strong, 1 - strong
    if not np.isfinite(held_out.cost).any():
        raise InputError("policy.weak: the table has no costs that say which candidate is cheapest; name one")
    spent[strong] = np.nan
    return strong, int(np.nanargmin(spent))


def _subset(held_out: HeldOutOutcomes, is_exclusive: bool) -> Chosen:
    """Thresholds of a subset."""
    expected = held_out.expected_quality.astype(np.float32)
    policy = fit_subset_policy(expected, held_out.quality.astype(np.float32), is_exclusive)
    return Chosen(policy, {**_sample(held_out), "criterion": "F1 on held-out prompts"})


def _with_figures(policy: Policy, held_out: HeldOutOutcomes, criterion: str) -> Chosen:
    """A policy that chooses one candidate, with what it gets on the held-out rows, and quality-first beside it."""
    facts = {**_sample(held_out), "criterion": criterion, **_means(policy, held_out)}
    if not isinstance(policy, BestPolicy):
        facts["quality_first"] = _means(BestPolicy(), held_out)
    return Chosen(policy, facts)


def _sample(held_out: HeldOutOutcomes) -> Facts:
    """On how many rows and folds the numbers were chosen."""
    return {"rows": len(held_out.folds), "folds": len(np.unique(held_out.folds))}


def _means(policy: Policy, held_out: HeldOutOutcomes) -> Facts:
    """Mean held-out quality and cost of what the policy chooses, None where unknown."""
    quality, cost = (float(known_mean(values)) for values in _outcomes_of(policy, held_out))
    return {"quality": _rounded(quality), "cost_usd": _rounded(cost)}


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _outcomes_of(policy: Policy, held_out: HeldOutOutcomes) -> tuple[Values, Values]:
    """Quality and cost float64 [n] of what the policy chooses; NaN where it is unknown, or nothing is chosen."""
    quality = held_out.expected_quality.astype(np.float32)
    chosen = policy.choose(quality, held_out.expected_cost, error=held_out.expected_error)
    picks, some = chosen.argmax(axis=1), chosen.any(axis=1)
    return tuple(np.where(some, taken(values, picks), np.nan) for values in (held_out.quality, held_out.cost))  # type: ignore[return-value]
