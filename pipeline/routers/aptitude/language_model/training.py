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
    training_set: TrainingSet,
    params: AptitudeParams,
    seed: int,
    schedule: TrainingSchedule,
    progress: Progress | None = None,
) -> list[float]:
    """Train on a training set for `params.steps` steps; the loss of each.

    `progress` is called once a step. The memory needed is that of one batch, not of a step.

    Raises:
        InputError: there is nothing to learn from in the training set.
    """
    tokens = reading.tokenize(training_set.prompts)
    lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
    sampler = BatchSampler(training_set, lengths, params, schedule.prompts, seed)
    losses: list[float] = []
    for stage in schedule.stages(params.steps):
        reading.learn(stage.everything)
        optimizer = _optimizer(reading, schedule)
        for rate in schedule.rates(stage.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["full"]
            drawn = [sampler.draw() for _ in range(schedule.batches)]
            losses.append(_step(reading, optimizer, drawn, tokens, params.loss, schedule))
            if progress:
                progress(f"step {len(losses)}/{params.steps}")
    return losses


def _step(
    reading: ReaderNetwork,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[CapabilityBatch],
    tokens: Sequence[Tokens],
    kind: str,
    schedule: TrainingSchedule,
) -> float:
    optimizer.zero_grad()
    total = 0.0
    for batch in batches:
        scores = reading(reading.prefix(batch.lines), [tokens[row] for row in batch.rows])
        loss = loss_of(scores, torch.from_numpy(batch.quality), kind) / len(batches)
        torch.autograd.backward(loss)
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(reading.parts().values(), schedule.clip)
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


def _optimizer(reading: ReaderNetwork, schedule: TrainingSchedule) -> torch.optim.Optimizer:
    full = (
        (reading.connector.layer.parameters(), schedule.connector),
        (reading.connector.body.parameters(), schedule.encoder),
        (reading.adapters.parameters(), schedule.adapters),
    )
    groups = [{"params": [p for p in parts if p.requires_grad], "full": rate} for parts, rate in full]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, weight_decay=0.01)
