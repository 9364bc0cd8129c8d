"""Training the full reader: first the connector, then everything; larger learning rates on encoder and connector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipeline.encoders.windows import Tokens
from pipeline.routers.aptitude.language_model.batches import BatchSampler, CapabilityBatch
from pipeline.routers.aptitude.language_model.network import ReaderNetwork
from pipeline.routers.aptitude.language_model.schedule import TrainingSchedule
from pipeline.routers.aptitude.training_set import TrainingSet
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.progress import Progress


def train_reader(
    reading: ReaderNetwork,
    lesson: TrainingSet,
    params: AptitudeParams,
    seed: int,
    pace: TrainingSchedule,
    progress: Progress | None = None,
) -> list[float]:
    """Train on a lesson for `params.steps` steps; the loss of each.

    `progress` is called once a step. The memory needed is that of one exercise, not of a step.

    Raises:
        InputError: there is nothing to learn from in the lesson.
    """
    tokens = reading.tokenize(lesson.prompts)
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    exercises = BatchSampler(lesson, lengths, params, pace.prompts, seed)
    losses: list[float] = []
    for stage in pace.stages(params.steps):
        reading.learn(stage.everything)
        optimizer = _optimizer(reading, pace)
        for rate in pace.rates(stage.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["full"]
            drawn = [exercises.draw() for _ in range(pace.exercises)]
            losses.append(_step(reading, optimizer, drawn, tokens, params.loss, pace))
            if progress:
                progress(f"step {len(losses)}/{params.steps}")
    return losses


def _step(
    reading: ReaderNetwork,
    optimizer: torch.optim.Optimizer,
    exercises: Sequence[CapabilityBatch],
    tokens: Sequence[Tokens],
    kind: str,
    pace: TrainingSchedule,
) -> float:
    optimizer.zero_grad()
    total = 0.0
    for exercise in exercises:
        scores = reading(reading.prefix(exercise.lines), [tokens[row] for row in exercise.rows])
        loss = loss_of(scores, torch.from_numpy(exercise.quality), kind) / len(exercises)
        torch.autograd.backward(loss)
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(reading.parts().values(), pace.clip)
    optimizer.step()
    return total


def loss_of(scores: torch.Tensor, quality: torch.Tensor, kind: str) -> torch.Tensor:
    """Of log-odds [k] against qualities [k], the mean cross-entropy of yes or no; a quality between is both.

    `group`: cross-entropy of the first, which alone was handled, among all k. It does not change where one number is
    added to all scores, so a candidate's level is not learnt.
    """
    if kind == "group":
        return cross_entropy(scores[None], torch.zeros(1, dtype=torch.int64))
    return binary_cross_entropy_with_logits(scores, quality)


def _optimizer(reading: ReaderNetwork, pace: TrainingSchedule) -> torch.optim.Optimizer:
    full = (
        (reading.connector.layer.parameters(), pace.connector),
        (reading.connector.body.parameters(), pace.encoder),
        (reading.adapters.parameters(), pace.adapters),
    )
    groups = [{"params": [p for p in parts if p.requires_grad], "full": rate} for parts, rate in full]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, weight_decay=0.01)
