"""`recommend`: one model, a mixture of two or a router, for a team's own table of outcomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.evaluation.recommendation_text import spread, usd
from switchtender.outcome_tables import figure_range
from switchtender.show import print_json, print_table, say


def recommend_table(
    table: Path,
    routers: tuple[str, ...],
    agents: Path | None,
    budget: float | None,
    folds: int,
    seed: int,
    threads: int,
    as_json: bool,
) -> None:
    """Cross-validate the routers and say what the table speaks for.

    A label table is read as outcomes of which one candidate is chosen. Without routers all learnt baselines compete.
    """
    from pipeline.evaluation.fitted_baselines import LEARNT
    from pipeline.evaluation.recommendation import parts_of, recommend
    from pipeline.routers.fitting import outer_folds
    from pipeline.runtime.reproducibility import pin
    from switchtender.tables import crossvalidated, outcomes_of

    outcomes = replace(outcomes_of(table, agents), is_labels=False)
    pin(seed, threads)
    folded = outer_folds(outcomes, folds, seed)
    predictions = crossvalidated(routers or tuple(LEARNT), outcomes, folded, seed)
    facts = recommend(outcomes, parts_of(outcomes, folded), predictions, budget)
    if as_json:
        print_json(facts)
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    single = f"best single: {facts['best_single']}"
    names = {"router": "best router of each fold", "best_single": single, "best_per_dataset": "told data set"}
    only = "router" if sum(name not in _KNOWN for name in facts["rows"]) == 1 else ""
    rows = [
        [names.get(name, name), figure_range(row["quality"]), _cost(row["cost_usd"]["value"])]
        for name, row in facts["rows"].items()
        if name != only
    ]
    print_table(f"{facts['prompts']} prompts, {facts['candidates']} candidates", ["", "quality, 95 %", "USD"], rows)
    for line in _comparisons(facts):
        say(line)
    say(facts["sentence"])


_KNOWN = ("router", "random", "cheapest", "dearest", "best_single", "best_per_dataset", "oracle")


def _comparisons(facts: dict[str, Any]) -> list[str]:
    router, mixture = facts["router"], facts["mixture"]
    lines = [f"{router} minus {facts['best_single']}: {spread(facts['router_minus_best_single']['quality'])}"]
    if "router_minus_best_per_dataset" in facts:
        told = spread(facts["router_minus_best_per_dataset"]["quality"])
        lines.append(f"{router} minus the best candidate of each data set, which it is not told: {told}")
    if not mixture:
        return [*lines, "no costs are known, so nothing can be said of mixtures"]
    pair = f"a mixture of {mixture['cheaper']} and {mixture['dearer']}"
    at_cost = mixture["router_minus_mixture_at_equal_cost"]
    at_quality = mixture["router_minus_mixture_at_equal_quality_usd"]
    if at_cost:
        lines.append(f"{router} minus {pair}, at equal cost: {spread(at_cost)}")
    if at_quality:
        low, high = usd(at_quality["low"]), usd(at_quality["high"])
        lines.append(f"at equal quality it costs {usd(at_quality['value'])} a prompt more, 95 % {low} to {high}")
    else:
        lines.append("no mixture reaches its quality")
    return lines


def _cost(value: float | None) -> str:
    return "-" if value is None else usd(value).removeprefix("USD ")
