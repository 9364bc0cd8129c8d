"""`crossval`: how well a system routes on a table of one's own, fold by fold."""

from __future__ import annotations

import typer

from switchtender.options import (
    AgentsFile,
    Baselines,
    DeviceOption,
    FoldedTable,
    Folds,
    Json,
    ParamsFile,
    Pictures,
    Precision,
    Seed,
    Threads,
    WishedSystem,
)
from switchtender.own_tables import crossvalidated, fast_reading, outcomes_of, outer_folds, training_params

app = typer.Typer()


@app.command(epilog="Example: switchtender crossval prompts.csv --router tfidf --json")
def crossval(
    table: FoldedTable,
    system: WishedSystem = None,
    agents: AgentsFile = None,
    params: ParamsFile = None,
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
    from pipeline.runtime.tables import require_folder
    from switchtender.report_tables import Crossvalidated, refuse_for_labels, show_labels, show_outcomes

    if pictures:
        require_folder(pictures)
    outcomes = outcomes_of(table, agents)
    pin(seed, threads, device)
    router_name, finetuning, policy = training_params(params, system, outcomes.is_labels)
    folded = outer_folds(outcomes, folds, seed)
    made = Crossvalidated(router_name, len(set(folded.tolist())))
    if outcomes.is_labels:
        refuse_for_labels(pictures=pictures)
    # Of labels no baseline is fitted beside it.
    names = tuple(name for name in LEARNT if baselines and name != router_name and not outcomes.is_labels)
    with fast_reading(precision, threads):
        found = crossvalidated((router_name, *names), outcomes, folded, seed, (finetuning, policy) if params else None)
    predictions = found.pop(router_name)
    if outcomes.is_labels:
        show_labels(label_scores(predictions, outcomes), as_json, made)
        return
    report = outcome_report(predictions, outcomes, found, parts_of(outcomes, folded))
    show_outcomes(report, names, pictures, as_json, made)
