"""What the full reader is trained on, a piece at a time: one capability, a few prompts, and how they were handled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.routers.aptitude.capability import Capability, in_words
from pipeline.routers.aptitude.training_set import TrainingSet, VirtualCandidates
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.errors import InputError

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
