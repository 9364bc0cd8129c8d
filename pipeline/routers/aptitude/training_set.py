"""What a reader learns from, and what every reader can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.routers.aptitude.capability import Capability
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.runtime.arrays import FloatMatrix, Indices, Values
from pipeline.runtime.progress import Progress

if TYPE_CHECKING:
    import torch
from pipeline.routers.aptitude.losses import grouped, pointwise


@dataclass(frozen=True)
class TrainingSet:
    """The test, what c candidates answered, and n prompts that are no items, with what the same candidates got there.

    `features` float32 [n, width], `task` int64 [n], `quality` float32 [n, c], NaN where not tried.
    """

    test: AptitudeTest
    capability: Capability
    prompts: tuple[str, ...]
    features: FloatMatrix
    task: Indices
    quality: FloatMatrix


@dataclass(frozen=True)
class VirtualCandidates:
    """Candidates that do not exist: their answers float32 [items, v], and which real one each is on each task.

    `source` is int64 [v - 2, tasks]; the last two get everything right, and everything wrong.
    """

    answers: FloatMatrix
    source: Indices

    @classmethod
    def drawn(cls, training_set: TrainingSet, count: int, random: np.random.Generator) -> VirtualCandidates:
        """`count` mixtures, each on each task one of the real candidates, and the two extremes."""
        real, test = training_set.capability.answers, training_set.test
        source = random.integers(0, real.shape[1], (count, len(test.share)))
        mixed = real[np.arange(len(test))[:, None], source[:, test.task].T]
        extremes = np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(test), 1))
        return cls(np.hstack([mixed, extremes]), source)

    def quality(self, training_set: TrainingSet, rows: Indices) -> FloatMatrix:
        """What they would have got on prompts of the training set, float32 [rows, v]."""
        mixed = training_set.quality[rows[:, None], self.source[:, training_set.task[rows]].T]
        extremes = np.tile(np.array([1.0, 0.0], dtype=np.float32), (len(rows), 1))
        return np.hstack([mixed, extremes])


class CapabilityReader(Protocol):
    """Reads capabilities against prompts: the logit that a candidate can handle a prompt.

    Law: more right answers never lower a logit of `lean`; no candidate is known to it but by its capability.
    """

    def fit(self, training_set: TrainingSet, seed: int, progress: Progress | None = None) -> None: ...

    def logits(
        self, test: AptitudeTest, capability: Capability, prompts: Sequence[str], features: FloatMatrix
    ) -> FloatMatrix:
        """float32 [n, c] of n prompts, their features [n, width], and c candidates, in one batch."""

    def uncertainty(self, test: AptitudeTest, capability: Capability, features: FloatMatrix) -> Values:
        """The standard error of each logit, float64 [n, c], from how many answers tell of a prompt like it."""

    def attention(self, test: AptitudeTest, features: FloatMatrix) -> FloatMatrix:
        """How much each item tells of each prompt, float32 [n, items], together 1."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


Loss = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor", int, "torch.Generator"], "torch.Tensor"]
"""From logits [n, c], qualities [n, c] (NaN where not tried), weights [c], a group's size and draws to a number."""


LOSSES: dict[str, Loss] = {"pointwise": pointwise, "group": grouped}
