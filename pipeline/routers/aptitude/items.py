"""The aptitude test: which train prompts every candidate is tried on, task by task.

Items on which about half the pool fails tell most about a candidate, and are drawn more often. That biases a plain
mean, so each item carries the inverse of its probability of being drawn (Horvitz and Thompson, 1952), moved a little
so that the pool's own mean comes out right; whoever takes a mean weights by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.tasks.discovery import DiscoverySettings, discovered
from pipeline.routers.tasks.graph import by_size, nearest
from pipeline.routers.tasks.task_summary import distinctive
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

KEYWORDS = 5
_FINE = (2.0, 4.0, 8.0, 16.0, 32.0)
_LEAST_WEIGHT = 0.25
"""An item that all of the pool gets right, or wrong, is drawn this much as often as one that half of it fails."""

_MOST_TILT = 5.0

Tensors = dict[str, Any]


@dataclass(frozen=True)
class AptitudeTest:
    """Its items: ids, sha256 of their texts, features float32 [items, width], task int64 [items], and weight float64
    [items], the inverse of the probability with which it was drawn. `share` float64 [tasks] is each task's part of all
    train prompts, `keywords` at most five phrases of each task.
    """

    prompt_ids: tuple[str, ...]
    digests: tuple[str, ...]
    features: FloatMatrix
    task: Indices
    weight: Values
    share: Values
    keywords: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def answers(self, outcomes: Outcomes) -> FloatMatrix:
        """What candidates got on the items, float32 [items, c], NaN where an item is not among the outcomes' prompts.

        Items are told by their text alone, so that a table may number its prompts as it likes.
        """
        place = {digest(text): row for row, text in enumerate(outcomes.prompts)}
        row = np.array([place.get(known, -1) for known in self.digests], dtype=np.int64)
        found = np.full((len(self), len(outcomes.candidates)), np.nan, dtype=np.float32)
        found[row >= 0] = outcomes.quality[row[row >= 0]]
        return found

    def tensors(self) -> Tensors:
        return {f"test.{name}": getattr(self, name) for name in ("features", "task", "weight", "share")}

    def facts(self) -> dict[str, Any]:
        """What `tensors` does not hold; no prompt's text."""
        return {"prompt_ids": self.prompt_ids, "digests": self.digests, "keywords": self.keywords}

    @classmethod
    def load(cls, facts: dict[str, Any], tensors: Tensors) -> AptitudeTest:
        features, task, weight, share = (tensors[f"test.{name}"] for name in ("features", "task", "weight", "share"))
        keywords = tuple(tuple(words) for words in facts["keywords"])
        ids, digests = tuple(facts["prompt_ids"]), tuple(facts["digests"])
        return cls(ids, digests, features, task, weight, share, keywords)


def digest(text: str) -> str:
    """By what an item is known."""
    return hashlib.sha256(text.encode()).hexdigest()


def chosen_test(
    outcomes: Outcomes, features: FloatMatrix, params: AptitudeParams, seed: int
) -> tuple[AptitudeTest, Indices]:
    """The test, and the task of each prompt int64 [n].

    `outcomes` holds no candidate that is to be unseen. Tasks are communities in the graph of the prompts alone.
    """
    room = max(1, int(params.share * len(outcomes)))
    count = max(1, min(params.tasks, room // params.shots))
    task = _tasks(outcomes, features, count, seed)
    right = _right(outcomes.quality)
    items, weight = drawn(_informativeness(right), task, min(params.shots, room), seed)
    items, weight = _once(items, weight, outcomes.prompts)
    weight = raked(weight, right[items], float(right.mean()))
    size = np.bincount(task)
    test = AptitudeTest(
        tuple(outcomes.prompt_ids[i] for i in items),
        tuple(digest(outcomes.prompts[i]) for i in items),
        np.ascontiguousarray(features[items]),
        task[items],
        weight,
        size / size.sum(),
        tuple(words[:KEYWORDS] for words in distinctive(outcomes.prompts, task, len(size))),
    )
    return test, task


def _right(quality: FloatMatrix) -> Values:
    """The share of the candidates that get each prompt right, float64 [n]."""
    known = ~np.isnan(quality)
    return np.asarray(np.where(known, quality, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), dtype=np.float64)


def _informativeness(right: Values) -> Values:
    """How much an item tells candidates apart, float64 [n]: 1 where half of them fail, least where all agree."""
    return np.asarray(_LEAST_WEIGHT + (1 - _LEAST_WEIGHT) * 4 * right * (1 - right))


def _tasks(outcomes: Outcomes, features: FloatMatrix, most: int, seed: int) -> Indices:
    """The task of each prompt, int64 [n], at the finest resolution that is needed for `most` tasks.

    Where it gives more, prompts of the smallest join the task of the nearest centre.
    """
    neighbours = nearest(features, features, DiscoverySettings.neighbours, itself=True)
    task = np.zeros(len(outcomes), dtype=np.int64)
    for fine in _FINE if most > 1 else ():
        task = discovered(neighbours, outcomes, DiscoverySettings(fine=fine), seed).task
        if task.max() + 1 >= most:
            break
    task = by_size(task)
    centres = np.stack([features[task == t].mean(axis=0) for t in range(min(most, int(task.max()) + 1))])
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
    left = task >= most
    if left.any():
        task[left] = (features[left] @ centres.T).argmax(axis=1)
    return task


def drawn(informativeness: Values, task: Indices, shots: int, seed: int) -> tuple[Indices, Values]:
    """For each task at most `shots` rows, and at most half of its own, drawn by `informativeness`; and their weights.

    A systematic sample in a random order, which draws each row with exactly the probability that it should have.
    """
    random = np.random.default_rng(seed)
    items, weights = [], []
    for t in range(int(task.max()) + 1):
        rows = random.permutation(np.flatnonzero(task == t))
        chance = inclusion(informativeness[rows], min(shots, max(1, len(rows) // 2)))
        marks = random.random() + np.arange(round(float(chance.sum())))
        taken = np.searchsorted(np.cumsum(chance), marks, side="right").clip(max=len(rows) - 1)
        items.append(rows[taken])
        weights.append(1 / chance[taken])
    order = np.argsort(np.concatenate(items), kind="stable")
    return np.concatenate(items)[order], np.concatenate(weights)[order]


def inclusion(size: Values, count: int) -> Values:
    """The probability of each of n to be among `count` drawn by size, float64 [n]; none above 1, together `count`."""
    chance = np.ones(len(size))
    free = np.ones(len(size), dtype=np.bool_)
    while free.any():
        chance[free] = size[free] / size[free].sum() * (count - int((~free).sum()))
        if not (over := free & (chance > 1)).any():
            break
        chance[over] = 1.0
        free &= ~over
    return np.minimum(chance, 1.0)


def raked(weight: Values, right: Values, wanted: float) -> Values:
    """The weights, moved as little as makes the weighted mean of `right` [items] what it is over all prompts.

    Whatever is easier or harder about the items that were drawn is so for a newcomer too (Deville and Saerndal, 1992,
    by exponential distances). Where the items cannot show that mean, the weights stay.
    """
    if not right.min() < wanted < right.max():
        return weight

    def off(tilt: float) -> float:
        moved = weight * np.exp(tilt * (right - wanted))
        return float((moved * (right - wanted)).sum() / moved.sum())

    if off(-_MOST_TILT) > 0 or off(_MOST_TILT) < 0:
        return weight
    moved = weight * np.exp(brentq(off, -_MOST_TILT, _MOST_TILT) * (right - wanted))
    return np.asarray(moved * weight.sum() / moved.sum())


def _once(items: Indices, weight: Values, texts: Sequence[str]) -> tuple[Indices, Values]:
    """The first item of each text, and its weight."""
    first = np.unique([texts[i] for i in items], return_index=True)[1]
    kept = np.sort(first)
    return items[kept], weight[kept]
