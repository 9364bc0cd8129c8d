"""What the full reader is trained on, a piece at a time: one capability, a few prompts, and how they were handled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.routers.aptitude.capability import Capability, in_words
from pipeline.routers.aptitude.training_set import TrainingSet, VirtualCandidates
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.errors import InputError

_NEIGHBOURHOOD = 16
"""Prompts of an exercise are drawn among this many times as many of like length, so that little is padded."""
_TRIES = 100
HANDLED = 0.5
"""From this quality on a prompt counts as handled where it can only be so or not so."""


@dataclass(frozen=True)
class CapabilityBatch:
    """A candidate's lines, rows of the lesson's prompts int64 [k], and its quality there, float32 [k]."""

    lines: list[str]
    rows: Indices
    quality: FloatMatrix


Pick = Callable[[FloatMatrix], Indices | None]


class BatchSampler:
    """Drawn from a lesson without end: real and virtual candidates alike, lines in a new order each time.

    Under the loss `group` the first prompt of an exercise was handled, and `group` - 1 others were not; else there are
    `prompts`, as they come.
    """

    def __init__(self, lesson: TrainingSet, lengths: Indices, params: AptitudeParams, prompts: int, seed: int) -> None:
        self.lesson = lesson
        self.by_length = np.argsort(lengths, kind="stable")
        self.params = params
        self.prompts = prompts
        self.random = np.random.default_rng(seed)

    def draw(self) -> CapabilityBatch:
        """
        Raises:
            InputError: there is nothing to learn from in the lesson.
        """
        for _ in range(_TRIES):
            lines, quality = self._candidate()
            rows = self._group(quality) if self.params.loss == "group" else self._some(~np.isnan(quality), self.prompts)
            if rows is not None:
                return CapabilityBatch(lines, rows, quality[rows])
        raise InputError("no candidate has both handled and mishandled prompts to learn from; add outcomes")

    def _candidate(self) -> tuple[list[str], FloatMatrix]:
        """A candidate's lines, and what it got on every prompt of the lesson, float32 [n]."""
        lesson, real = self.lesson, len(self.lesson.capability.candidates)
        who = int(self.random.integers(real + (self.params.virtual + 2 if self.params.virtual else 0)))
        if who < real:
            capability, quality = lesson.capability.of(np.array([who])), lesson.quality[:, who]
        else:
            virtual = VirtualCandidates.drawn(lesson, self.params.virtual, self.random)
            answers = virtual.answers[:, [who - real]]
            capability = Capability(("",), answers, ("",))
            quality = virtual.quality(lesson, np.arange(len(lesson.prompts)))[:, who - real]
        order = self.random.permutation(len(lesson.test.share))
        return in_words(lesson.test, capability, order)[0], quality

    def _group(self, quality: FloatMatrix) -> Indices | None:
        """One handled prompt, then mishandled ones near its length."""
        handled = self._some(quality >= HANDLED, 1)
        if handled is None:
            return None
        place = int(np.flatnonzero(self.by_length == handled[0])[0])
        mishandled = self._some(quality < HANDLED, self.params.group - 1, place)
        return None if mishandled is None else np.append(handled, mishandled)

    def _some(self, wanted: np.ndarray, count: int, near: int | None = None) -> Indices | None:
        """`count` of the wanted rows, of like length, by preference `near` a place in the order of lengths."""
        places = np.flatnonzero(wanted[self.by_length])
        if len(places) < count:
            return None
        middle = self.random.integers(len(places)) if near is None else int(np.searchsorted(places, near))
        width = min(len(places), _NEIGHBOURHOOD * count)
        start = int(np.clip(middle - width // 2, 0, len(places) - width))
        chosen = self.random.choice(places[start : start + width], count, replace=False)
        return np.asarray(self.by_length[chosen], dtype=np.int64)
