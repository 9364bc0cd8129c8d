"""Training the full reader: first the connector, then everything; larger learning rates on encoder and connector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipeline.encoders.windows import Tokens
from pipeline.routers.aptitude.capability import Capability, in_words
from pipeline.routers.aptitude.language_model.network import ReaderNetwork
from pipeline.routers.aptitude.training_set import TrainingSet, VirtualCandidates
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.errors import InputError
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
        loss = loss_of(scores, torch.from_numpy(batch.quality).to(scores.device), kind) / len(batches)
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
    """Each step is one update on `batches` batches of `prompts` prompts each.

    `first` is the share of the steps in which the connector alone is trained. Learning rates rise over `warmup` of a
    stage's steps, then fall to nothing; they are larger on the connector and the encoder than on the language model.
    """

    batches: int = 1
    prompts: int = 6
    first: float = 1 / 3
    warmup: float = 0.1
    connector: float = 5e-3
    encoder: float = 4e-4
    adapters: float = 3e-4
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


_NEIGHBOURHOOD = 16
"""Prompts of a batch are drawn among this many times as many of like length, so that little is padded."""


_TRIES = 100


HANDLED = 0.5
"""From this quality on a prompt counts as handled where it can only be so or not so."""


@dataclass(frozen=True)
class CapabilityBatch:
    """A candidate's lines, rows of the training set's prompts int64 [k], and its quality there, float32 [k]."""

    lines: list[str]
    rows: Indices
    quality: FloatMatrix


class BatchSampler:
    """Drawn from a training set without end: real and virtual candidates alike, lines in a new order each time.

    Under the loss `group` the first prompt of a batch was handled, and `group` - 1 others were not; else there are
    `prompts`, as they come.
    """

    def __init__(
        self, training_set: TrainingSet, lengths: Indices, params: AptitudeParams, prompts: int, seed: int
    ) -> None:
        self.training_set = training_set
        self.by_length = np.argsort(lengths, kind="stable")
        self.params = params
        self.prompts = prompts
        self.random = np.random.default_rng(seed)

    def draw(self) -> CapabilityBatch:
        """
        Raises:
            InputError: there is nothing to learn from in the training set.
        """
        for _ in range(_TRIES):
            lines, quality = self._candidate()
            rows = self._group(quality) if self.params.loss == "group" else self._some(~np.isnan(quality), self.prompts)
            if rows is not None:
                return CapabilityBatch(lines, rows, quality[rows])
        raise InputError("no candidate has both handled and mishandled prompts to learn from; add outcomes")

    def _candidate(self) -> tuple[list[str], FloatMatrix]:
        """A candidate's lines, and what it got on every prompt of the training set, float32 [n]."""
        training_set, real = self.training_set, len(self.training_set.capability.candidates)
        who = int(self.random.integers(real + (self.params.virtual + 2 if self.params.virtual else 0)))
        if who < real:
            capability, quality = training_set.capability.of(np.array([who])), training_set.quality[:, who]
        else:
            virtual = VirtualCandidates.drawn(training_set, self.params.virtual, self.random)
            answers = virtual.answers[:, [who - real]]
            capability = Capability(("",), answers, ("",))
            quality = virtual.quality(training_set, np.arange(len(training_set.prompts)))[:, who - real]
        order = self.random.permutation(len(training_set.test.share))
        return in_words(training_set.test, capability, order)[0], quality

    def _group(self, quality: FloatMatrix) -> Indices | None:
        """Rows of one handled prompt and of mishandled ones near its length; None where there are too few."""
        handled = self._some(quality >= HANDLED, 1)
        if handled is None:
            return None
        place = int(np.flatnonzero(self.by_length == handled[0])[0])
        mishandled = self._some(quality < HANDLED, self.params.group - 1, place)
        return None if mishandled is None else np.append(handled, mishandled)

    def _some(self, wanted: np.ndarray, count: int, near: int | None = None) -> Indices | None:
        """`count` random rows of those `wanted`, of like length; around the place `near` in the order of lengths."""
        places = np.flatnonzero(wanted[self.by_length])
        if len(places) < count:
            return None
        middle = self.random.integers(len(places)) if near is None else int(np.searchsorted(places, near))
        width = min(len(places), _NEIGHBOURHOOD * count)
        start = int(np.clip(middle - width // 2, 0, len(places) - width))
        chosen = self.random.choice(places[start : start + width], count, replace=False)
        return np.asarray(self.by_length[chosen], dtype=np.int64)
