"""How often the gates against the champion open: `python -m benchmarks.gate_power` prints the pass rates.

Routers are simulated on the labels of the shipped holdout: each errs in cells at a rate that gives a chosen F1 for
every agent, and shares most draws with the other, so that equal ones differ as two seeds of one training do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.data.agents import read_agents
from pipeline.data.holdout import read_holdout
from pipeline.data.outcomes import label_matrix, split_agents
from pipeline.gating.agent_gates import GateParams
from pipeline.gating.results import GATE
from pipeline.metrics.bootstrap import resamples
from pipeline.runtime.arrays import Binary, Indices, Values
from pipeline.runtime.params import read
from pipeline.runtime.tables import read_table

Pair = tuple[Binary, Binary]
"""What challenger and champion chose: bool [n, c] each."""
CHAMPION_F1 = 0.85
SHARED = 0.8
"""Share of the cells in which the draw is common to both; equal ones then differ on about a sixth of the prompts."""


@dataclass(frozen=True)
class Holdout:
    """Labels bool [n, c] of the holdout and, for each agent, its train prompts."""

    truth: Binary
    names: tuple[str, ...]
    train_support: Indices


def shipped_holdout() -> Holdout:
    """The labels of data/prompts.csv, in train and in the holdout."""
    names = tuple(agent.name for agent in read_agents())
    rows = read_table(Path("data/prompts.csv"), required=("prompt_id", "agents"))
    labels = label_matrix([split_agents(cell) for cell in rows["agents"]], names) > 0.5
    held_out = rows["prompt_id"].isin(read_holdout()).to_numpy()
    return Holdout(labels[held_out], names, labels[~held_out].sum(axis=0))


def challengers(holdout: Holdout, count: int) -> dict[str, list[Pair]]:
    """Each kind, `count` times beside a champion; the smallest agent is the smallest of those judged alone."""
    shipped, level = read(GATE, GateParams), np.full(len(holdout.names), CHAMPION_F1)
    support, rare = holdout.truth.sum(axis=0), holdout.train_support < shipped.rare_below
    judged = np.where(rare | (support < shipped.agent_minimum), len(holdout.truth), support)
    smallest = np.arange(len(level)) == int(np.argmin(judged))
    return {
        "equal": simulate(holdout, level, count),
        "equal, noisier": simulate(holdout, level, count, shared=0.7),
        "5 points worse": simulate(holdout, level - 0.05, count),
        "smallest agent .40": simulate(holdout, np.where(smallest, 0.40, level), count),
        "rare agents .40": simulate(holdout, np.where(rare, 0.40, level), count),
    }


def simulate(holdout: Holdout, f1: Values, count: int, shared: float = SHARED, seed: int = 0) -> list[Pair]:
    """Pairs in which the challenger's expected precision and recall of each agent is `f1` [c]."""
    random = np.random.default_rng(seed)
    theirs_wrong, ours_wrong = (_error_rates(holdout.truth, level) for level in (np.full_like(f1, CHAMPION_F1), f1))
    pairs = []
    for _ in range(count):
        first, fresh, coin = random.random((3, *holdout.truth.shape))
        second = np.where(coin < shared, first, fresh)
        pairs.append((holdout.truth ^ (second < ours_wrong), holdout.truth ^ (first < theirs_wrong)))
    return pairs


def _error_rates(truth: Binary, f1: Values) -> Values:
    """Chance of an error in each cell: a true one is missed, or another is added as often as one is missed."""
    extra = (1 - f1) * truth.sum(axis=0) / (~truth).sum(axis=0)
    return np.where(truth, 1 - f1, extra)


def disagreement(pairs: Sequence[Pair]) -> float:
    """Mean share of prompts for which the two choose different subsets."""
    return float(np.mean([(ours != theirs).any(axis=1).mean() for ours, theirs in pairs]))


def bounds(holdout: Holdout, pair: Pair, params: GateParams, seed: int) -> dict[str, tuple[float, float]]:
    """Lower bound and limit of each gate against the champion: `pipeline.stages.gate.against_champion`, vectorised."""
    truth, draws = holdout.truth, resamples(len(holdout.truth), params.resamples, seed)
    times = np.stack([np.bincount(draw, minlength=len(truth)) for draw in draws]).astype(np.float64)
    rare = holdout.train_support < params.rare_below
    actual = times @ truth.astype(np.float64)

    def scores(chosen: Binary) -> Values:
        both = times @ (truth & chosen).astype(np.float64)
        total = times @ chosen.astype(np.float64) + actual
        micro = _ratio(2 * both.sum(axis=1), total.sum(axis=1))
        recall = _ratio(both[:, rare].sum(axis=1), actual[:, rare].sum(axis=1))
        return np.column_stack([micro, _ratio(2 * both, total), recall])

    lower = np.quantile(scores(pair[0]) - scores(pair[1]), 1 - params.confidence, axis=0)
    judged = np.flatnonzero((truth.sum(axis=0) >= params.agent_minimum) & ~rare)
    found = {"champion_micro_f1": (float(lower[0]), -params.margin)}
    found |= {f"champion_f1_{holdout.names[c]}": (float(lower[1 + c]), -params.agent_margin) for c in judged}
    return found | ({"champion_rare_recall": (float(lower[-1]), -params.rare_margin)} if rare.any() else {})


def _ratio(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def pass_rates(holdout: Holdout, pairs: Sequence[Pair], params: GateParams) -> dict[str, float]:
    """Share of pairs that pass: `overall`, the `agents` together, `rare` pooled, and `all` of them."""
    rows = []
    for seed, pair in enumerate(pairs):
        passed = {name: bound >= limit for name, (bound, limit) in bounds(holdout, pair, params, seed).items()}
        agents = all(ok for name, ok in passed.items() if name.startswith("champion_f1_"))
        rows.append((passed["champion_micro_f1"], agents, passed.get("champion_rare_recall", 1), all(passed.values())))
    return dict(zip(("overall", "agents", "rare", "all"), np.mean(rows, axis=0).tolist(), strict=True))


def settings(shipped: GateParams) -> dict[str, GateParams]:
    """The shipped settings and those that were tried beside them."""
    first = {"confidence": 0.9, "agent_margin": 0.25, "rare_margin": 0.35}
    naive = {"margin": 0.02, "agent_margin": 0.02, "agent_minimum": 1, "rare_below": 1}
    tried = {"confidence": (0.75, 0.85, 0.9, 0.95), "agent_margin": (0.15, 0.2, 0.25), "rare_margin": (0.15, 0.2, 0.35)}
    others = {f"{key} {value}": {key: value} for key, values in tried.items() for value in values}
    named = {"shipped": {}, **others, "first: .9, .25, .35": first, "naive: margin .02, 20 agents": naive}
    return {name: shipped.model_copy(update=changes) for name, changes in named.items()}


def main(count: int = 500) -> None:
    """Print the pass rates for each setting and challenger as a Markdown table."""
    holdout = shipped_holdout()
    found = challengers(holdout, count)
    print(f"{count} pairs each; in percent: overall / agents / rare / all\n\n| setting | {' | '.join(found)} |")
    print(f"|---|{'---|' * len(found)}")
    print(f"| prompts answered unlike | {' | '.join(f'{disagreement(pairs):.0%}' for pairs in found.values())} |")
    for name, params in settings(read(GATE, GateParams).model_copy(update={"resamples": 500})).items():
        rates = [pass_rates(holdout, pairs, params) for pairs in found.values()]
        cells = [" / ".join(f"{100 * rate:.0f}" for rate in row.values()) for row in rates]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
