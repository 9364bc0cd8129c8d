"""How often the gates against the champion open: `python -m benchmarks.gate_power` prints the pass rates.

Pairs of routers are simulated on the labels of the shipped holdout. Each misses and adds cells at rates that give
a chosen F1 for every agent; a share of the draws is common to both, so that equal ones differ on as many prompts
as two seeds of one training do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.agents import read_agents
from pipeline.gates import NAME, GateParams
from pipeline.metrics import Binary, resamples
from pipeline.outcomes import label_matrix, split_agents
from pipeline.params import read
from pipeline.split import read_holdout
from pipeline.tables import read_table

Floats = npt.NDArray[np.float64]
CHAMPION_F1 = 0.85
SHARED = 0.8
"""Share of the cells in which challenger and champion err together or not at all."""


@dataclass(frozen=True)
class Holdout:
    """Labels bool [n, c] of the holdout and, for each agent, its train prompts."""

    truth: Binary
    names: tuple[str, ...]
    train_support: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """What challenger (`ours`) and champion (`theirs`) chose: bool [n, c] each."""

    ours: Binary
    theirs: Binary


def shipped_holdout() -> Holdout:
    """The labels of data/prompts.csv, in train and in the holdout."""
    names = tuple(agent.name for agent in read_agents())
    rows = read_table(Path("data/prompts.csv"), required=("prompt_id", "agents"))
    labels = label_matrix([split_agents(cell) for cell in rows["agents"]], names) > 0.5
    held_out = rows["prompt_id"].isin(read_holdout()).to_numpy()
    return Holdout(labels[held_out], names, labels[~held_out].sum(axis=0))


def challengers(holdout: Holdout) -> dict[str, Floats]:
    """Each kind of challenger: the F1 that it aims at for each agent."""
    level = np.full(len(holdout.names), CHAMPION_F1)
    shipped = read(NAME, GateParams)
    support, rare = holdout.truth.sum(axis=0), holdout.train_support < shipped.rare_below
    smallest = int(np.argmin(np.where(rare | (support < shipped.agent_minimum), len(holdout.truth), support)))
    return {
        "equal": level,
        "5 points worse": level - 0.05,
        "one agent at .40": np.where(np.arange(len(level)) == smallest, 0.40, level),
        "rare agents at .20": np.where(rare, 0.20, level),
    }


def simulate(holdout: Holdout, f1: Floats, count: int, seed: int = 0) -> list[Pair]:
    """Pairs in which the challenger's expected precision and recall of each agent is `f1` [c]."""
    random = np.random.default_rng(seed)
    theirs_wrong = _error_rates(holdout.truth, np.full_like(f1, CHAMPION_F1))
    ours_wrong = _error_rates(holdout.truth, f1)
    pairs = []
    for _ in range(count):
        first, fresh, coin = random.random((3, *holdout.truth.shape))
        second = np.where(coin < SHARED, first, fresh)
        pairs.append(Pair(holdout.truth ^ (second < ours_wrong), holdout.truth ^ (first < theirs_wrong)))
    return pairs


def _error_rates(truth: Binary, f1: Floats) -> Floats:
    """Chance of an error in each cell: a true one is missed, or another is added as often as one is missed."""
    extra = (1 - f1) * truth.sum(axis=0) / (~truth).sum(axis=0)
    return np.where(truth, 1 - f1, extra)


def disagreement(pairs: Sequence[Pair]) -> float:
    """Mean share of prompts for which the two choose different subsets."""
    return float(np.mean([(pair.ours != pair.theirs).any(axis=1).mean() for pair in pairs]))


def bounds(holdout: Holdout, pair: Pair, params: GateParams, seed: int) -> dict[str, tuple[float, float]]:
    """Lower bound and limit of each gate against the champion: `pipeline.gates.against_champion`, vectorised."""
    truth, rows = holdout.truth, len(holdout.truth)
    draws = resamples(rows, params.resamples, seed)
    times = np.stack([np.bincount(draw, minlength=rows) for draw in draws]).astype(np.float64)
    rare = holdout.train_support < params.rare_below
    actual = times @ truth.astype(np.float64)

    def scores(chosen: Binary) -> Floats:
        both = times @ (truth & chosen).astype(np.float64)
        total = times @ chosen.astype(np.float64) + actual
        micro = _ratio(2 * both.sum(axis=1), total.sum(axis=1))
        recall = _ratio(both[:, rare].sum(axis=1), actual[:, rare].sum(axis=1))
        return np.column_stack([micro, _ratio(2 * both, total), recall])

    lower = np.quantile(scores(pair.ours) - scores(pair.theirs), 1 - params.confidence, axis=0)
    judged = np.flatnonzero((truth.sum(axis=0) >= params.agent_minimum) & ~rare)
    found = {"champion_micro_f1": (float(lower[0]), -params.margin)}
    found |= {f"champion_f1_{holdout.names[c]}": (float(lower[1 + c]), -params.agent_margin) for c in judged}
    return found | ({"champion_rare_recall": (float(lower[-1]), -params.rare_margin)} if rare.any() else {})


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def pass_rates(holdout: Holdout, pairs: Sequence[Pair], params: GateParams) -> dict[str, float]:
    """Share of pairs that pass: `overall`, the `agents` together, `rare` pooled, and `all` of them."""
    opened: dict[str, list[bool]] = {"overall": [], "agents": [], "rare": [], "all": []}
    for seed, pair in enumerate(pairs):
        passed = {name: bound >= limit for name, (bound, limit) in bounds(holdout, pair, params, seed).items()}
        opened["overall"].append(passed["champion_micro_f1"])
        opened["agents"].append(all(ok for name, ok in passed.items() if name.startswith("champion_f1_")))
        opened["rare"].append(passed.get("champion_rare_recall", True))
        opened["all"].append(all(passed.values()))
    return {name: float(np.mean(values)) for name, values in opened.items()}


def settings(shipped: GateParams) -> dict[str, GateParams]:
    """The shipped settings and those that were tried beside them."""

    def other(**changes: float) -> GateParams:
        return shipped.model_copy(update=changes)

    confidences = {f"confidence {level}": other(confidence=level) for level in (0.8, 0.85, 0.9, 0.95)}
    margins = {f"agent margin {margin}": other(agent_margin=margin) for margin in (0.1, 0.15, 0.2, 0.25, 0.3)}
    rares = {f"rare margin {margin}": other(rare_margin=margin) for margin in (0.2, 0.3, 0.4, 0.5)}
    naive = {"naive: margin .02, 20 agents": other(margin=0.02, agent_margin=0.02, agent_minimum=1, rare_below=1)}
    return {"shipped": shipped} | confidences | margins | rares | naive


def main(pairs: int = 500) -> None:
    """Print a Markdown table: overall / agents / rare / all, in percent, for each setting and challenger."""
    holdout = shipped_holdout()
    shipped = read(NAME, GateParams).model_copy(update={"resamples": 500})
    simulated = {name: simulate(holdout, f1, pairs) for name, f1 in challengers(holdout).items()}
    print(f"{pairs} pairs each; equal ones differ on {disagreement(simulated['equal']):.0%} of the prompts")
    print(f"| setting | {' | '.join(simulated)} |\n|---|{'---|' * len(simulated)}")
    for setting, params in settings(shipped).items():
        rates = [pass_rates(holdout, found, params) for found in simulated.values()]
        cells = [" / ".join(f"{100 * rate:.0f}" for rate in row.values()) for row in rates]
        print(f"| {setting} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
