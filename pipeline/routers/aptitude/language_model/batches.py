"""What the full reader is trained on: one capability at a time, with prompts, drawn from a training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.routers.aptitude.capability import Capability, in_words
from pipeline.routers.aptitude.nearest_tasks import nearest_tasks
from pipeline.routers.aptitude.training_set import CapabilityReader, TrainingSet, VirtualCandidates
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.text.options import rotated_options
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.errors import InputError

HANDLED = 0.5
"""From this quality on a prompt counts as handled where it can only be so or not so."""
_NEIGHBOURHOOD = 16
"""Prompts of a batch are drawn among this many times as many of like length, so that little is padded."""
_TRIES = 100
_MOST_OPTIONS = 10


@dataclass(frozen=True)
class CapabilityBatch:
    """A candidate's lines; k prompts, of each the candidate's lines of the tasks nearest to it; and what is learnt.

    `rows` int64 [k] are those of the training set; `quality` float32 [k] what the candidate got there, `target` what
    the reader is to say.
    """

    lines: list[str]
    rows: Indices
    prompts: list[str]
    nearest: list[list[str]]
    quality: FloatMatrix
    target: FloatMatrix


class BatchSampler:
    """Drawn from a training set without end: real and virtual candidates alike, lines in a new order each time.

    Under the loss `group` the first prompt of a batch was handled, and `group` - 1 others were not; else there are
    `step_prompts`, as they come. Targets are outcomes, and by the share `distil` what the `teacher` says; options of
    multiple-choice prompts that most candidates fail are rotated (Model-SAT, arXiv 2502.17282).
    """

    def __init__(
        self, training_set: TrainingSet, params: AptitudeParams, seed: int, teacher: CapabilityReader | None = None
    ) -> None:
        self.training_set = training_set
        self.by_length = np.argsort([len(text) for text in training_set.prompts], kind="stable")
        self.params = params
        self.teacher = teacher
        self.random = np.random.default_rng(seed)
        self.nearest = nearest_tasks(training_set.test, training_set.features, params.nearest)
        tried = np.where(np.isnan(training_set.quality), HANDLED, training_set.quality)
        self.is_hard = tried.mean(axis=1) < HANDLED

    def draw(self) -> CapabilityBatch:
        """
        Raises:
            InputError: there is nothing to learn from in the training set.
        """
        for _ in range(_TRIES):
            capability, quality = self._candidate()
            wanted = ~np.isnan(quality)
            is_group = self.params.loss == "group"
            rows = self._group(quality) if is_group else self._some(wanted, min(self.params.step_prompts, wanted.sum()))
            if rows is not None and len(rows):
                return self._batch(capability, rows, quality[rows])
        raise InputError("no candidate has both handled and mishandled prompts to learn from; add outcomes")

    def _batch(self, capability: Capability, rows: Indices, quality: FloatMatrix) -> CapabilityBatch:
        test = self.training_set.test
        (words,) = in_words(test, capability)
        order = self.random.permutation(len(test.share))
        nearest = [words.of(self.nearest[row]) for row in rows]
        prompts = [self._prompt(row) for row in rows]
        return CapabilityBatch(
            words.in_order(order), rows, prompts, nearest, quality, self._target(capability, rows, quality)
        )

    def _target(self, capability: Capability, rows: Indices, quality: FloatMatrix) -> FloatMatrix:
        if self.teacher is None:
            return quality
        told = self.teacher.logits(self.training_set.test, capability, (), self.training_set.features[rows])[:, 0]
        soft = 1 / (1 + np.exp(-told))
        return np.asarray((1 - self.params.distil) * quality + self.params.distil * soft, dtype=np.float32)

    def _prompt(self, row: int) -> str:
        text = self.training_set.prompts[row]
        return rotated_options(text, int(self.random.integers(_MOST_OPTIONS))) if self.is_hard[row] else text

    def _candidate(self) -> tuple[Capability, FloatMatrix]:
        """A candidate, and what it got on every prompt of the training set, float32 [n]."""
        training_set, real = self.training_set, len(self.training_set.capability.candidates)
        who = int(self.random.integers(real + (self.params.virtual + 2 if self.params.virtual else 0)))
        if who < real:
            return training_set.capability.of(np.array([who])), training_set.quality[:, who]
        virtual = VirtualCandidates.drawn(training_set, self.params.virtual, self.random)
        quality = virtual.quality(training_set, np.arange(len(training_set.prompts)))[:, who - real]
        return Capability(("",), virtual.answers[:, [who - real]], ("",)), quality

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
        middle = self.random.integers(max(1, len(places))) if near is None else int(np.searchsorted(places, near))
        width = min(len(places), _NEIGHBOURHOOD * count)
        start = int(np.clip(middle - width // 2, 0, len(places) - width))
        chosen = self.random.choice(places[start : start + width], count, replace=False)
        return np.asarray(self.by_length[chosen], dtype=np.int64)
