"""Which assignment of prompts to tasks: that of a linear head, or of a fine-tuned encoder."""

from __future__ import annotations

import numpy as np

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.settings import TasksParams
from pipeline.routers.tasks.assignment import TaskClassifier
from pipeline.routers.tasks.discovery import LEAST, DiscoverySettings, discovered
from pipeline.routers.tasks.graph import nearest
from pipeline.routers.tasks.model import FitAssignment
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

_PARTS = 5


def chosen_assignment(
    params: TasksParams, finetune: FitAssignment | None, outcomes: Outcomes, features: FloatMatrix,
    likeness: FloatMatrix | None, how: DiscoverySettings, seed: int,
) -> FitAssignment | None:  # fmt: skip
    """What fine-tunes the encoder that assigns prompts, or None for the linear head.

    `auto` takes that of less log loss on a held-out fifth, whose tasks were found together with the others'; of equals
    the linear head.

    Raises:
        InputError: an encoder is asked for, and there is nothing to fine-tune one with.
    """
    if params.assignment == "linear":
        return None
    if finetune is None:
        raise InputError(f"tasks.assignment {params.assignment} needs an encoder to fine-tune; take linear")
    if params.assignment == "finetuned":
        return finetune
    alike = features if likeness is None else likeness
    tasks = discovered(nearest(alike, alike, how.neighbours, itself=True), outcomes, how, seed)
    held_out = make_folds(outcomes, _PARTS, seed) == 0
    count = len(tasks.group)
    if count < 2 or len(outcomes) <= 2 * LEAST or held_out.all():
        return None
    texts = [[outcomes.prompts[i] for i in np.flatnonzero(part)] for part in (~held_out, held_out)]
    right = tasks.task[held_out]
    linear = TaskClassifier.fit(features[~held_out], tasks.task[~held_out], count, seed)
    encoder = finetune(texts[0], tasks.task[~held_out], count)
    return finetune if encoder.loss(texts[1], right) < linear.loss(features[held_out], right) else None
