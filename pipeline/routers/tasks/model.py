"""Both stages fitted on one set of outcomes, and how what they say of a prompt is mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.learning.linear_heads import held_out_loss, level_scores
from pipeline.routers.tasks.assignment import TaskClassifier
from pipeline.routers.tasks.discovery import DiscoverySettings, TaskPartition, discovered
from pipeline.routers.tasks.graph import nearest
from pipeline.routers.tasks.shrunken_means import (
    QualityErrors,
    errors,
    joined_means,
    shortlists,
    standard_error,
    task_means,
)
from pipeline.routers.tasks.task_heads import TaskHeads
from pipeline.routers.text.prompt_features import PromptFeatures
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

Tensors = dict[str, Any]
_ALPHAS = tuple(round(float(alpha), 1) for alpha in np.linspace(0, 1, 11))
_TASK_HEADS = (0.0, 0.5, 1.0)
_FLOORS = (0.0, 0.3, 0.5)
LEAST = 1e-3
"""A probability nearer to 0 or 1 than this counts as that: a mixture of estimates may even lie outside 0..1."""
T = TypeVar("T")


@dataclass(frozen=True)
class MixingWeights:
    """How a prompt's estimate (by the heads) and its tasks' means are mixed: alpha x prompt + (1 - alpha) x task.

    `alpha` counts for the differences between candidates, `level` for their mean. `task_heads` is the part of what
    task heads add. Below a probability of `floor` for the likeliest task the general heads alone decide.
    """

    alpha: float = 0.5
    level: float = 0.5
    task_heads: float = 1.0
    floor: float = 0.0


@dataclass(frozen=True)
class TaskEstimates:
    """What is known of n prompts: means of their tasks float64 [n, c] and their standard error [n, c]; by the heads,
    for the f candidates of training: general, headed, spread float32 [n, f]; the probability of the likeliest task
    float32 [n], and whether the prompt is like no known task, bool [n].
    """

    task: Values
    error: Values
    general: FloatMatrix
    headed: FloatMatrix
    spread: FloatMatrix
    confidence: FloatMatrix
    is_new: Binary

    def mixed(self, how: MixingWeights) -> Values:
        """Expected quality float64 [n, c]. One that joined later has its tasks' means, and the prompt's level."""
        heads = self.general.shape[1]
        prompt = self.general + how.task_heads * (self.headed - self.general)
        off = prompt - self.task[:, :heads]
        level = off.mean(axis=1, keepdims=True)
        found: Values = self.task + how.level * level
        found[:, :heads] += how.alpha * (off - level)
        abstains = self.abstains(how)
        found[abstains, :heads] = self.general[abstains]
        return found

    def abstains(self, how: MixingWeights) -> Binary:
        """For which prompts no task is trusted, bool [n]."""
        return np.asarray(self.is_new | (self.confidence < how.floor))

    def uncertainty(self, how: MixingWeights) -> Values:
        """The standard error of `mixed`, float64 [n, c]: that of the task's mean, and the members' spread."""
        alpha = np.where(self.abstains(how), 1.0, how.alpha)[:, None]
        heads = self.spread.shape[1]
        found = np.square((1 - alpha) * self.error)
        found[:, :heads] += np.square(alpha * self.spread)
        found[:, heads:] = np.square(self.error[:, heads:])
        return np.sqrt(found)


@dataclass(frozen=True)
class TaskModel:
    """Features, the tasks' classifier, means float64 [tasks, c] with standard errors, shortlists and heads."""

    features: PromptFeatures
    assignment: TaskClassifier
    heads: TaskHeads
    group: Indices
    means: Values
    error: Values
    shortlist: Binary

    @classmethod
    def fit(
        cls, outcomes: Outcomes, vectors: FloatMatrix, how: DiscoverySettings, seed: int
    ) -> tuple[TaskModel, TaskPartition]:
        """Both stages; also the task that each of the prompts was found in."""
        features = PromptFeatures.fit(outcomes.prompts, seed)
        known = features.of(outcomes.prompts, vectors)
        tasks = discovered(nearest(known, known, how.neighbours, itself=True), outcomes, how, seed)
        assignment = TaskClassifier.fit(known, tasks.task, len(tasks.group), seed)
        means = task_means(outcomes.quality, tasks.task, tasks.group, how.prior)
        short = shortlists(outcomes.quality, tasks.task, means)
        heads = TaskHeads.fit(known, outcomes.quality, assignment.of(known), short, seed)
        error = standard_error(outcomes.quality, tasks.task, means, how.prior)
        return cls(features, assignment, heads, tasks.group, means, error, short), tasks

    def of(self, texts: Sequence[str], vectors: FloatMatrix, with_tasks: bool = True) -> TaskEstimates:
        """What is known of texts and their embeddings [n, width]; `with_tasks` as for the heads."""
        features = self.features.of(texts, vectors)
        belongs = self.assignment.of(features)
        heads = self.heads.of(features, belongs, with_tasks)
        return TaskEstimates(
            belongs @ self.means,
            belongs @ self.error,
            heads.general,
            heads.headed,
            heads.spread,
            belongs.max(axis=1),
            self.assignment.is_new(features),
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
        return replace(self, means=means, error=errors, shortlist=short)

    def tensors(self) -> Tensors:
        own = {"group": self.group, "means": self.means, "error": self.error, "shortlist": self.shortlist}
        return {**self.features.tensors(), **self.assignment.tensors(), **self.heads.tensors(), **own}

    @classmethod
    def load(cls, tensors: Tensors) -> TaskModel:
        own = (tensors[name] for name in ("group", "means", "error", "shortlist"))
        return cls(PromptFeatures.load(tensors), TaskClassifier.load(tensors), TaskHeads.load(tensors), *own)


HeldOutEstimates = Sequence[tuple[Indices, TaskEstimates]]
"""Rows, and estimates of them by a fit that did not see them."""


def gathered_estimates(held_out: HeldOutEstimates, how: MixingWeights, shape: tuple[int, ...]) -> Values:
    """The mixture for each row [n, c]; NaN for rows that no fold holds out."""
    found = np.full(shape, np.nan)
    for rows, estimates in held_out:
        found[rows] = estimates.mixed(how)
    return found


def gathered_errors(held_out: HeldOutEstimates, how: MixingWeights, shape: tuple[int, ...]) -> Values:
    """The standard error of the mixture for each row [n, c]; NaN for rows that no fold holds out."""
    found = np.full(shape, np.nan)
    for rows, estimates in held_out:
        found[rows] = estimates.uncertainty(how)
    return found


def chosen_mixing(held_out: HeldOutEstimates, outcomes: Outcomes) -> MixingWeights:
    """Of labels by log loss; of graded outcomes alpha by the differences between candidates, the level by their mean.

    Of equally good settings the first: that with the least said by the heads.
    """
    rows = np.concatenate([rows for rows, _ in held_out])
    judged = outcomes.rows(rows)

    def mixed(how: MixingWeights) -> Values:
        found: Values = gathered_estimates(held_out, how, outcomes.quality.shape)[rows]
        return found

    def error(how: MixingWeights) -> QualityErrors:
        return errors(mixed(how), judged.quality)

    every = [
        MixingWeights(alpha, alpha, share, floor) for share, floor, alpha in product(_TASK_HEADS, _FLOORS, _ALPHAS)
    ]
    if outcomes.is_labels:
        return _least(every, lambda how: held_out_loss(level_scores(mixed(how), LEAST), judged))
    best = _least(every, lambda how: error(how).contrast)
    return _least([replace(best, level=level) for level in _ALPHAS], lambda how: error(how).level)


def _least(settings: Sequence[T], loss: Callable[[T], float]) -> T:
    return settings[int(np.argmin([loss(each) for each in settings]))]
