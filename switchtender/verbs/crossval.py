"""`crossval`: how well a system routes on a table of one's own, fold by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from switchtender.options import (
    AgentsFile,
    Baselines,
    DeviceOption,
    FoldedTable,
    Folds,
    Json,
    Pictures,
    Precision,
    Seed,
    System,
    Threads,
)
from switchtender.own_tables import crossvalidated, fast_reading, outcomes_of, outer_folds
from switchtender.show import training_bar

if TYPE_CHECKING:
    from pipeline.data.outcomes import Outcomes
    from pipeline.routers.base.protocol import Predictions
    from pipeline.runtime.arrays import Indices

app = typer.Typer()


@app.command(epilog="Example: switchtender crossval prompts.csv --router tfidf --json")
def crossval(
    table: FoldedTable,
    system: System = "classifier",
    agents: AgentsFile = None,
    folds: Folds = 5,
    seed: Seed = 7,
    threads: Threads = 2,
    precision: Precision = "fp32",
    baselines: Baselines = True,
    pictures: Pictures = None,
    device: DeviceOption = "auto",
    as_json: Json = False,
) -> None:
    """Fit and judge once a fold; no row is judged by a router that saw it."""
    from pipeline.evaluation.outcome_report import outcome_report
    from pipeline.evaluation.recommendation import parts_of
    from pipeline.evaluation.reference_strategies import LEARNT
    from pipeline.evaluation.scoring import label_scores
    from pipeline.runtime.reproducibility import pin
    from switchtender.report_tables import Crossvalidated, refuse_for_labels, show_labels, show_outcomes

    outcomes = outcomes_of(table, agents)
    pin(seed, threads, device)
    folded = outer_folds(outcomes, folds, seed)
    made = Crossvalidated(system, len(set(folded.tolist())))
    if outcomes.is_labels:
        refuse_for_labels(pictures=pictures)
        with fast_reading(precision, threads):
            predictions = _predictions(system, outcomes, folded, seed)
        show_labels(label_scores(predictions, outcomes), as_json, made)
        return
    names = tuple(LEARNT) if baselines else ()
    with fast_reading(precision, threads):
        found = crossvalidated((system, *names), outcomes, folded, seed)
    predictions = found.pop(system)
    report = outcome_report(predictions, outcomes, found, parts_of(outcomes, folded))
    show_outcomes(report, names, pictures, as_json, made)


def _predictions(system: str, labels: Outcomes, folds: Indices, seed: int) -> Predictions:
    """What the system says of each row without having seen its fold; for labels no baseline is fitted beside it."""
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.routers.fitting import crossvalidate

    with training_bar(system) as advance:
        return crossvalidate(system, labels, folds, FinetuningParams(), seed, advance)
