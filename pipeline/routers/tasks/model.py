"""Both stages fitted on one set of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.metrics.candidate_means import scarcity
from pipeline.routers.tasks.assignment import TaskClassifier
from pipeline.routers.tasks.discovery import DiscoverySettings, TaskPartition, discovered
from pipeline.routers.tasks.encoder_assignment import EncoderAssignment
from pipeline.routers.tasks.graph import nearest, utility
from pipeline.routers.tasks.mixing import TaskEstimates
from pipeline.routers.tasks.shrunken_means import fallback, joined_means, shortlists, standard_error, task_means
from pipeline.routers.tasks.task_heads import HeadSettings, TaskHeads
from pipeline.routers.text.prompt_features import PromptFeatures
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

Tensors = dict[str, Any]
FitAssignment = Callable[[Sequence[str], Indices, int], EncoderAssignment]
"""From texts, the task of each int64 [n], and how many there are, to an encoder that was fine-tuned to tell them."""


@dataclass(frozen=True)
class ModelSettings:
    """What was chosen of both stages; `finetune` makes the encoder that assigns prompts, None: the linear head does."""

    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    heads: HeadSettings = field(default_factory=HeadSettings)
    finetune: FitAssignment | None = None


@dataclass(frozen=True)
class TaskModel:
    """Features, the tasks' classifier, means float64 [tasks, c] with standard errors, shortlists and heads.

    `encoder` assigns prompts to tasks where one was fine-tuned to; the classifier still knows what is new, and of
    graded outcomes gets `overall`, each candidate's mean over all prompts, float64 [c]. `scarce` [c] is how far those
    tried on few prompts are drawn to it; None where all were tried alike.
    """

    features: PromptFeatures
    assignment: TaskClassifier
    heads: TaskHeads
    group: Indices
    means: Values
    error: Values
    shortlist: Binary
    overall: Values | None = None
    encoder: EncoderAssignment | None = None
    scarce: Values | None = None

    @classmethod
    def fit(
        cls, outcomes: Outcomes, vectors: FloatMatrix, how: ModelSettings, seed: int,
        likeness: FloatMatrix | None = None,
    ) -> tuple[TaskModel, TaskPartition]:  # fmt: skip
        """Both stages; also the task that each of the prompts was found in.

        Edges are between prompts whose `likeness`, unit vectors float32 [n, any], is high; by default their features
        are, which `vectors` are a part of.
        """
        features = PromptFeatures.fit(outcomes.prompts, seed)
        known = features.of(outcomes.prompts, vectors)
        alike = known if likeness is None else likeness
        neighbours = nearest(alike, alike, how.discovery.neighbours, itself=True)
        tasks = discovered(neighbours, outcomes, how.discovery, seed)
        count = len(tasks.group)
        assignment = TaskClassifier.fit(known, tasks.task, count, seed)
        encoder = how.finetune(outcomes.prompts, tasks.task, count) if how.finetune and count > 1 else None
        belongs = encoder.of(outcomes.prompts) if encoder else assignment.of(known)
        prior = how.discovery.prior
        means = task_means(outcomes.quality, tasks.task, tasks.group, prior)
        worth = utility(outcomes.quality, outcomes.cost, how.discovery.quality_per_usd)
        short = shortlists(worth, tasks.task, means, how.discovery.coverage)
        heads = TaskHeads.fit(known, outcomes.quality, belongs, short, seed, how.heads)
        error = standard_error(outcomes.quality, tasks.task, means, prior)
        overall = None if outcomes.is_labels else fallback(outcomes.quality)
        few = scarcity(outcomes.quality)
        scarce = few if few.any() and overall is not None else None
        return cls(features, assignment, heads, tasks.group, means, error, short, overall, encoder, scarce), tasks

    def belongs(self, texts: Sequence[str], features: FloatMatrix) -> FloatMatrix:
        """The probability of each task, float32 [n, tasks], for texts and their features [n, width]."""
        return self.encoder.of(texts) if self.encoder else self.assignment.of(features)

    def of(self, texts: Sequence[str], vectors: FloatMatrix, with_tasks: bool = True) -> TaskEstimates:
        """What is known of texts and their embeddings [n, width]; `with_tasks` as for the heads."""
        features = self.features.of(texts, vectors)
        belongs = self.belongs(texts, features)
        heads = self.heads.of(features, belongs, with_tasks)
        return TaskEstimates(
            belongs @ self.means,
            belongs @ self.error,
            heads.general,
            heads.headed,
            heads.spread,
            belongs.max(axis=1),
            self.assignment.is_new(features),
            self.overall,
            self.scarce,
        )

    def joined(self, quality: FloatMatrix, belongs: FloatMatrix, how: DiscoverySettings) -> TaskModel:
        """With candidates of which outcomes float32 [n, new] are known, on prompts that belong to each task by these
        probabilities float32 [n, tasks]; what is known of the others stays.
        """
        added = [joined_means(self.means, column, belongs, self.group, how.prior) for column in quality.T]
        known = np.column_stack(added)
        error = standard_error(quality, belongs.argmax(axis=1), known, how.prior)
        short = np.hstack([self.shortlist, np.zeros(known.shape, dtype=np.bool_)])
        means, errors = np.hstack([self.means, known]), np.hstack([self.error, error])
        overall = self.overall
        if overall is not None:
            usual = np.full(quality.shape[1], overall[: self.heads.candidates].mean())
            overall = np.append(overall, fallback(quality, usual))
        scarce = None if self.scarce is None else np.append(self.scarce, np.zeros(quality.shape[1]))
        return replace(self, means=means, error=errors, shortlist=short, overall=overall, scarce=scarce)

    def tensors(self) -> Tensors:
        own = {"group": self.group, "means": self.means, "error": self.error, "shortlist": self.shortlist}
        if self.overall is not None:
            own["overall"] = self.overall
        if self.scarce is not None:
            own["scarce"] = self.scarce
        return {**self.features.tensors(), **self.assignment.tensors(), **self.heads.tensors(), **own}

    def save_encoder(self, folder: Path) -> None:
        """Beside the tensors, where there is one."""
        if self.encoder:
            self.encoder.save(folder)

    @classmethod
    def load(cls, tensors: Tensors, folder: Path) -> TaskModel:
        group, means, error, shortlist = (tensors[name] for name in ("group", "means", "error", "shortlist"))
        parts = PromptFeatures.load(tensors), TaskClassifier.load(tensors), TaskHeads.load(tensors)
        encoder = EncoderAssignment.load(folder) if EncoderAssignment.is_in(folder) else None
        return cls(*parts, group, means, error, shortlist, tensors.get("overall"), encoder, tensors.get("scarce"))
