"""`recommend`: one model, a mixture of two or a router, for a team's own table of outcomes."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer

from switchtender.options import AgentsFile, DeviceOption, FoldedTable, Folds, Json, Precision, Seed, Threads, finite
from switchtender.own_tables import crossvalidated, fast_reading, outcomes_of, outer_folds
from switchtender.show import print_json, print_table, say, size_of

if TYPE_CHECKING:
    from pipeline.evaluation.recommendation_text import Recommendation

app = typer.Typer()


@app.command(epilog="Example: switchtender recommend outcomes.parquet --router knn --budget 0.002")
def recommend(
    table: FoldedTable,
    systems: Annotated[
        list[str] | None, typer.Option("--router", help="May be repeated; by default knn, linear and clusters compete.")
    ] = None,
    agents: AgentsFile = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0.0, callback=finite, help="The most that a prompt may cost on average, in USD."),
    ] = None,
    folds: Folds = 5,
    seed: Seed = 7,
    threads: Threads = 2,
    precision: Precision = "fp32",
    device: DeviceOption = "auto",
    as_json: Json = False,
) -> None:
    """One model, a mixture of two or a router: what a table speaks for, and how surely."""
    from pipeline.evaluation import recommendation
    from pipeline.evaluation.reference_strategies import LEARNT
    from pipeline.runtime.plain import plain
    from pipeline.runtime.reproducibility import pin

    given = outcomes_of(table, agents)
    pin(seed, threads, device)
    folded = outer_folds(given, folds, seed)
    outcomes = replace(given, is_labels=False)
    if given.is_labels and not as_json:
        say(
            "Labels are read as outcomes: one agent is chosen for each prompt, and quality is 1 if it is among its own."
        )
    parts = recommendation.parts_of(outcomes, folded)
    if budget is not None:
        recommendation.require_affordable(outcomes, parts, budget)
    with fast_reading(precision, threads):
        predictions = crossvalidated(systems or tuple(LEARNT), outcomes, folded, seed)
    facts = recommendation.recommend(outcomes, parts, predictions, budget)
    if as_json:
        print_json(plain(facts))
    else:
        _print(facts)


def _print(found: Recommendation) -> None:
    from switchtender.report_tables import cost, estimate_range

    single = "best single of each fold" if found.single_varies else f"best single: {found.best_single}"
    names = {"router": "best router of each fold", "best_single": single, "best_per_dataset": "told data set"}
    only = "router" if found.has_one_router else ""
    # Where not all were tried on the same prompts, means are over different ones, and each says over how many.
    differ = any(row.untried for row in found.rows.values())
    rows = [
        [
            names.get(name, name),
            estimate_range(row.quality),
            *([row.prompts] if differ else []),
            cost(row.cost_usd.value) + _over(found.budget_usd, row.cost_usd.value),
        ]
        for name, row in found.rows.items()
        if name != only
    ]
    columns = ["", "quality, 95 %", *(["on"] if differ else []), "USD"]
    print_table(size_of(found.prompts, found.candidates), columns, rows)
    for line in _comparisons(found):
        say(line)
    say(found.sentence)


def _over(budget: float | None, spent: float) -> str:
    from pipeline.metrics.preference import affordable

    return "" if budget is None or isnan(spent) or affordable(spent, budget) else " over"


def _comparisons(found: Recommendation) -> list[str]:
    """In a line each: the router beside the best single candidate, the data sets' best, and a mixture of two."""
    from pipeline.evaluation.recommendation_text import spread, usd

    ours, mixture = found.ours, found.mixture
    lines = [f"{ours} minus {found.single}: {spread(found.router_minus_best_single.quality)}"]
    if found.router_minus_best_per_dataset:
        told = spread(found.router_minus_best_per_dataset.quality)
        lines.append(f"{ours} minus the best candidate of each data set, which it is not told: {told}")
    if not mixture:
        return [*lines, "no costs are known, so nothing can be said of mixtures"]
    # Within a budget the mixture that is shown is the one that costs the budget, and not what the router costs.
    pair = "a mixture" if found.budget_usd is not None else f"a mixture of {mixture.pair}"
    if mixture.cheaper == mixture.dearer:
        pair = f"{mixture.cheaper} alone"
    at_cost = mixture.router_minus_mixture_at_equal_cost
    at_quality = mixture.router_minus_mixture_at_equal_quality_usd
    if at_cost:
        lines.append(f"{ours} minus {pair}, at equal cost: {spread(at_cost)}")
    if at_quality:
        low, high = usd(at_quality.low), usd(at_quality.high)
        lines.append(
            f"its USD a prompt minus those of a mixture of equal quality: {usd(at_quality.value)}, 95 % {low} to {high}"
        )
    else:
        lines.append(f"no mixture reaches the quality of {ours}")
    return lines
