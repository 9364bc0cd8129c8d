"""What makes a task readable: its size, words, prompts, how good each candidate is there, and a map of all prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.routers.tasks.discovery import TaskPartition
from pipeline.routers.text.key_phrases import key_phrases
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

_PHRASES, _NEAREST = 8, 5
_LEAST_PROMPTS = 3
_FROM_EACH = 400
"""Phrases are looked for in at most so many prompts of a task."""
_Z = 1.959964
_NAMES = ("size", "group", "tried", "mean", "half_width")

Tensors = dict[str, Any]


@dataclass(frozen=True)
class CandidateQuality:
    """Mean quality of a candidate on the `tried` prompts of a task, with its 95 % interval; NaN where none was."""

    candidate: str
    tried: int
    mean: float
    low: float
    high: float
    shortlisted: bool


@dataclass(frozen=True)
class TaskSummary:
    """One task: `nearest` are ids of the prompts nearest to its centre; candidates stand best first."""

    task: int
    group: int
    size: int
    phrases: tuple[str, ...]
    nearest: tuple[str, ...]
    candidates: tuple[CandidateQuality, ...]


@dataclass(frozen=True)
class PromptMap:
    """The train prompts' ids, their tasks int64 [n], and places in a plane, float32 [n, 2] (principal components)."""

    prompt_ids: tuple[str, ...]
    task: Indices
    places: FloatMatrix


@dataclass(frozen=True)
class TaskSummaries:
    """Of each task: size and group int64 [tasks], phrases and nearest prompts; of each candidate there how often it was
    tried, its mean and half the width of its 95 % interval, float64 [tasks, c], NaN where never tried.
    """

    map: PromptMap
    phrases: tuple[tuple[str, ...], ...]
    nearest: tuple[tuple[str, ...], ...]
    size: Indices
    group: Indices
    tried: Values
    mean: Values
    half_width: Values

    @classmethod
    def of(cls, outcomes: Outcomes, tasks: TaskPartition, features: FloatMatrix, centres: FloatMatrix) -> TaskSummaries:
        """From the prompts that were learnt from, their features [n, width] and the tasks' centres [tasks, width]."""
        count = len(tasks.group)
        ids = tuple(
            tuple(outcomes.prompt_ids[i] for i in _nearest(features, np.flatnonzero(tasks.task == t), centres[t]))
            for t in range(count)
        )
        return cls(
            PromptMap(outcomes.prompt_ids, tasks.task, _plane(features)),
            distinctive(outcomes.prompts, tasks.task, count),
            ids,
            np.bincount(tasks.task, minlength=count),
            tasks.group,
            *_observed(outcomes.quality, tasks.task, count),
        )

    def joined(self, quality: FloatMatrix, task: Indices) -> TaskSummaries:
        """With columns for candidates that joined; `task` int64 [n] is where each of their prompts belongs."""
        tried, mean, half = _observed(quality, task, len(self.size))
        return replace(
            self,
            tried=np.hstack([self.tried, tried]),
            mean=np.hstack([self.mean, mean]),
            half_width=np.hstack([self.half_width, half]),
        )

    def tasks(self, candidates: Sequence[str], shortlist: np.ndarray) -> tuple[TaskSummary, ...]:
        """Every task, the largest first."""
        return tuple(
            TaskSummary(
                t,
                int(self.group[t]),
                int(self.size[t]),
                self.phrases[t],
                self.nearest[t],
                self._candidates(t, candidates, shortlist),
            )
            for t in range(len(self.size))
        )

    def _candidates(self, t: int, names: Sequence[str], shortlist: np.ndarray) -> tuple[CandidateQuality, ...]:
        order = np.argsort(-np.nan_to_num(self.mean[t], nan=-1), kind="stable")
        return tuple(
            CandidateQuality(
                names[c],
                int(self.tried[t, c]),
                float(self.mean[t, c]),
                float(np.maximum(self.mean[t, c] - self.half_width[t, c], 0)),
                float(np.minimum(self.mean[t, c] + self.half_width[t, c], 1)),
                bool(shortlist[t, c]),
            )
            for c in order
        )

    def tensors(self) -> Tensors:
        own = {f"evidence.{name}": getattr(self, name) for name in _NAMES}
        return {**own, "map.task": self.map.task, "map.places": self.map.places}

    def facts(self) -> dict[str, Any]:
        """What `tensors` does not hold: ids and phrases, no prompt's text."""
        return {"prompt_ids": self.map.prompt_ids, "phrases": self.phrases, "nearest": self.nearest}

    @classmethod
    def load(cls, facts: dict[str, Any], tensors: Tensors) -> TaskSummaries:
        own = {name: tensors[f"evidence.{name}"] for name in _NAMES}
        places = PromptMap(tuple(facts["prompt_ids"]), tensors["map.task"], tensors["map.places"])
        phrases, nearest = (tuple(map(tuple, facts[name])) for name in ("phrases", "nearest"))
        return cls(places, phrases, nearest, **own)


def _nearest(features: FloatMatrix, members: Indices, centre: FloatMatrix) -> Indices:
    return members[np.argsort(-(features[members] @ centre), kind="stable")[:_NEAREST]]


def _observed(quality: FloatMatrix, task: Indices, count: int) -> tuple[Values, Values, Values]:
    """How often tried, mean, and half the width of its interval with the variance as if .5 had been seen once more."""
    known = ~np.isnan(quality)
    filled = np.where(known, quality, 0).astype(np.float64)
    tried, total, squares = (np.zeros((count, quality.shape[1])) for _ in range(3))
    np.add.at(tried, task, known)
    np.add.at(total, task, filled)
    np.add.at(squares, task, filled**2)
    times = np.where(tried > 0, tried, np.nan)
    mean = total / times
    spread = (total + 0.5) / (times + 1)
    variance = np.maximum((squares + 0.25 + 0.25) / (times + 1) - spread**2, 0)
    return tried, mean, _Z * np.sqrt(variance / times)


def _plane(features: FloatMatrix) -> FloatMatrix:
    centred = features - features.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, -2:][:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return np.ascontiguousarray(centred @ axes, dtype=np.float32)


def distinctive(texts: Sequence[str], task: Indices, count: int) -> tuple[tuple[str, ...], ...]:
    """For each of `count` tasks the phrases that tell it apart: those that many of its prompts have, and few others.

    `task` is int64 [n], the task of each text; one may have none.
    """
    inside: list[Counter[str]] = []
    read = np.zeros(count)
    for t in range(count):
        members = np.flatnonzero(task == t)[:_FROM_EACH]
        inside.append(Counter(phrase for i in members for phrase in key_phrases(texts[i])))
        read[t] = max(len(members), 1)
    everywhere: Counter[str] = Counter()
    for counter in inside:
        everywhere.update(counter)
    return tuple(_distinctive_phrases(inside[t], read[t], everywhere, read.sum()) for t in range(count))


def _distinctive_phrases(inside: Counter[str], read: float, everywhere: Counter[str], total: float) -> tuple[str, ...]:
    """At most eight phrases that are frequent in the task and rare elsewhere, by frequency times log ratio.

    One that contains, or is part of, a phrase already taken is passed over.
    """
    least = min(_LEAST_PROMPTS, read)
    scored = [
        (-(n / read) * float(np.log((n / read) / ((everywhere[phrase] + 1) / (total + 1)))), phrase)
        for phrase, n in inside.items()
        if n >= least
    ]
    found: list[str] = []
    for score, phrase in sorted(scored):
        if score < 0 and len(found) < _PHRASES and not any(phrase in taken or taken in phrase for taken in found):
            found.append(phrase)
    return tuple(found)
