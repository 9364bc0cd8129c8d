"""`evaluate`: predictions beside the truth, and beside baselines that were fitted on other prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from switchtender.options import Baselines, Json, Pictures
from switchtender.own_tables import fast_reading, warn_of_names
from switchtender.show import say_aside, training_bar

_SEED, _THREADS = 7, 2

app = typer.Typer()


@app.command(epilog="Example: switchtender evaluate predictions.csv truth.csv --json")
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="A table made by `predict`.")],
    truth: Annotated[Path, typer.Argument(help="Prompts or outcomes with the right answers.")],
    train: Annotated[
        Path | None, typer.Option("--train", help="Outcomes of other prompts: baselines are chosen and fitted there.")
    ] = None,
    baselines: Baselines = True,
    pictures: Pictures = None,
    as_json: Json = False,
) -> None:
    """Compare predictions with the truth: multi-label metrics, or quality and cost."""
    from pipeline.evaluation.outcome_report import outcome_report
    from pipeline.evaluation.reference_strategies import LEARNT, learnt_predictions
    from pipeline.evaluation.scoring import label_scores, read_predictions, read_train
    from pipeline.routers.base.settings import FinetuningParams
    from pipeline.runtime.reproducibility import pin
    from pipeline.runtime.tables import require_folder
    from switchtender.report_tables import refuse_for_labels, show_labels, show_outcomes

    if pictures:
        require_folder(pictures)
    predicted, outcomes = read_predictions(predictions, truth)
    warn_of_names(outcomes.candidates)
    if predicted.learnt is not None and predicted.learnt.any():
        say_aside(
            f"warning: the router learnt from {int(predicted.learnt.sum())} of these {len(outcomes)} prompts, and so "
            "looks better than it is; judge it on prompts that it has not seen, or with crossval"
        )
    if outcomes.is_labels:
        refuse_for_labels(train=train, pictures=pictures)
        show_labels(label_scores(predicted, outcomes), as_json)
        return
    parts = read_train(train, outcomes) if train else None
    names = tuple(LEARNT) if parts and baselines else ()
    if names:
        pin(_SEED, _THREADS)
    with fast_reading("fp32", _THREADS), training_bar("baselines") as advance:
        learnt = learnt_predictions(names, outcomes, parts or [], FinetuningParams(), _SEED, advance)
    show_outcomes(outcome_report(predicted, outcomes, learnt, parts), names, pictures, as_json)
