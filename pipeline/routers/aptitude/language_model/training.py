"""Training the full reader: first the connector, then everything, each part at its own learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipeline.routers.aptitude.attention_reader import AttentionReader
from pipeline.routers.aptitude.language_model.batches import BatchSampler, CapabilityBatch
from pipeline.routers.aptitude.language_model.network import ReaderNetwork
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

    By `params.distil` the lean reader is fitted first, and its scores are learnt from too: outcomes of single prompts
    are mostly noise.
    `progress` is called once a step. The memory needed is that of one batch, not of a step.

    Raises:
        InputError: there is nothing to learn from in the training set.
    """
    sampler = BatchSampler(training_set, params, seed, teacher_of(training_set, params, seed))
    losses: list[float] = []
    for stage in schedule.stages(params.steps):
        reading.learn(stage.everything)
        optimizer = _optimizer(reading, schedule)
        for rate in schedule.rates(stage.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * group["full"]
            drawn = [sampler.draw() for _ in range(params.step_candidates)]
            losses.append(_step(reading, optimizer, drawn, params.loss, schedule.clip))
            if progress:
                progress(f"step {len(losses)}/{params.steps}, loss {sum(losses[-10:]) / len(losses[-10:]):.3f}")
    return losses


def teacher_of(training_set: TrainingSet, params: AptitudeParams, seed: int) -> AttentionReader | None:
    """The lean reader, where scores can be learnt from: the loss `group` knows only who was handled."""
    if not params.distil or params.loss == "group":
        return None
    teacher = AttentionReader(params)
    teacher.fit(training_set, seed)
    return teacher


def _step(
    reading: ReaderNetwork,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[CapabilityBatch],
    kind: str,
    clip: float,
) -> float:
    optimizer.zero_grad()
    total = 0.0
    for batch in batches:
        prompts = reading.tokenize(batch.prompts)
        asked = [reading.asked(prompt, near) for prompt, near in zip(prompts, batch.nearest, strict=True)]
        scores = reading(reading.prefix(batch.lines), asked)
        loss = loss_of(scores, torch.from_numpy(batch.target).to(scores.device), kind) / len(batches)
        torch.autograd.backward(loss)
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(reading.parts().values(), clip)
    optimizer.step()
    return total


def loss_of(scores: torch.Tensor, quality: torch.Tensor, kind: str) -> torch.Tensor:
    """Of log-odds [k] against qualities [k], the mean cross-entropy of yes or no; a quality between is both.

    `group`: cross-entropy of the first, which alone was handled, among all k. It does not change where one number is
    added to all scores, so a candidate's level is not learnt.
    """
    if kind == "group":
        return cross_entropy(scores[None], torch.zeros(1, dtype=torch.int64, device=scores.device))
    return binary_cross_entropy_with_logits(scores, quality)


def _optimizer(reading: ReaderNetwork, schedule: TrainingSchedule) -> torch.optim.Optimizer:
    full = (
        (reading.connector.layer.parameters(), schedule.connector),
        (reading.connector.body.parameters(), schedule.encoder),
        (reading.adapters.parameters(), schedule.adapters),
    )
    groups = [{"params": [p for p in parts if p.requires_grad], "full": rate} for parts, rate in full]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, weight_decay=0.01)


@dataclass(frozen=True)
class TrainingStage:
    """So many steps, on everything or on the connector alone."""

    everything: bool
    steps: int


@dataclass(frozen=True)
class TrainingSchedule:
    """How training goes on from step to step.

    `first` is the share of the steps in which the connector alone is trained. Learning rates rise over `warmup` of a
    stage's steps, then fall to nothing; `adapters` is that of the language model's.
    """

    first: float = 0.1
    warmup: float = 0.1
    connector: float = 1e-3
    encoder: float = 4e-4
    adapters: float = 2e-3
    clip: float = 1.0

    def stages(self, steps: int) -> tuple[TrainingStage, TrainingStage]:
        """The connector alone, then everything; together `steps`."""
        first = int(steps * self.first)
        return TrainingStage(False, first), TrainingStage(True, steps - first)

    def rates(self, steps: int) -> Iterator[float]:
        """The part of the full learning rate at each step of a stage."""
        warmup = max(1, int(self.warmup * steps))
        for step in range(steps):
            yield min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
