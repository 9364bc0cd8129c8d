"""What a candidate's answers to the test tell of it: accuracy a task, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

_PRIOR = 5.0
"""A candidate's level is pulled to one half as if by so many answers."""
_TASK_PRIOR = 5.0
"""Its accuracy on a task is pulled to its level there, as if by so many answers."""
_GRADES = ("hopeless", "very bad", "bad", "fair", "good", "very good", "excellent")
"""Beside the figure, since sentence encoders hardly tell one from another: from MiniLM's vector of a line, accuracy is
read off linearly with an R^2 of .91 for keywords not seen before, and of less than 0 without these words.
"""


@dataclass(frozen=True)
class Capability:
    """What c candidates answered: float32 [items, c], NaN where an item was not tried; and free text about each."""

    candidates: tuple[str, ...]
    answers: FloatMatrix
    facts: tuple[str, ...]

    def of(self, columns: Indices) -> Capability:
        """Of some candidates alone."""
        names, facts = ([values[c] for c in columns] for values in (self.candidates, self.facts))
        return replace(self, candidates=tuple(names), answers=self.answers[:, columns], facts=tuple(facts))

    def with_others(self, others: Capability) -> Capability:
        return Capability(
            self.candidates + others.candidates,
            np.hstack([self.answers, others.answers]),
            self.facts + others.facts,
        )


@dataclass(frozen=True)
class Accuracy:
    """Estimated from the answers: level float64 [c] over all prompts; by task mean, its standard error, and answers
    given, float64 [tasks, c].
    """

    level: Values
    mean: Values
    error: Values
    answered: Values


def accuracy(test: AptitudeTest, answers: FloatMatrix) -> Accuracy:
    """Accuracy from answers float32 [items, c], each weighted by the inverse of its probability of being drawn.

    Few answers count less: a level is pulled to one half, and a task's mean to the level, by what it is hard to
    candidates of this table.
    """
    known = ~np.isnan(answers)
    level = levels(test, answers)
    mean, effective = _counted(test, answers, test.task, level, _TASK_PRIOR)
    answered = np.zeros(mean.shape)
    np.add.at(answered, test.task, known)
    return Accuracy(level, mean, np.sqrt(mean * (1 - mean) / (effective + _TASK_PRIOR)), answered)


def levels(test: AptitudeTest, answers: FloatMatrix) -> Values:
    """What share of all prompts each candidate can be expected to get right, float64 [c]."""
    return _levels(test, answers)[0]


def level_variance(test: AptitudeTest, answers: FloatMatrix) -> tuple[Values, Values]:
    """The variance of one answer of each candidate, and that of its level, float64 [c] each."""
    level, effective = _levels(test, answers)
    each = level * (1 - level)
    return each, each / (effective + _PRIOR)


def _levels(test: AptitudeTest, answers: FloatMatrix) -> tuple[Values, Values]:
    every = np.zeros(len(test), dtype=np.int64)
    mean, effective = _counted(test, answers, every, np.array([0.5]), _PRIOR)
    return mean[0], effective[0]


def _counted(
    test: AptitudeTest, answers: FloatMatrix, place: Indices, towards: Values, prior: float
) -> tuple[Values, Values]:
    """Weighted means by place [places, c], pulled `towards`; and how many equally weighted answers each is worth."""
    known = ~np.isnan(answers)
    weight = test.weight[:, None] * known
    member = (place == np.arange(int(place.max()) + 1)[:, None]).astype(np.float64)
    mass, total = member @ weight, member @ (weight * np.where(known, answers, 0.0))
    effective = mass**2 / np.maximum(member @ weight**2, 1e-12)
    mean = total / np.maximum(mass, 1e-12)
    return (effective * mean + prior * towards) / (effective + prior), effective


@dataclass(frozen=True)
class CapabilityInWords:
    """One candidate: free text about it, and a line a task with keywords and accuracy, "" where it was not tried."""

    facts: str
    lines: tuple[str, ...]

    def in_order(self, tasks: Indices) -> list[str]:
        """Facts, where there are any, then the lines of tasks in this order."""
        return [*([self.facts] if self.facts else []), *self.of(tasks)]

    def of(self, tasks: Indices) -> list[str]:
        """The lines of these tasks, of those that were tried."""
        return [self.lines[task] for task in tasks if self.lines[task]]


def in_words(test: AptitudeTest, capability: Capability) -> list[CapabilityInWords]:
    """Each candidate in words."""
    found, tasks = accuracy(test, capability.answers), range(len(test.share))
    return [
        CapabilityInWords(facts, tuple(_line(test, found, t, c) if found.answered[t, c] else "" for t in tasks))
        for c, facts in enumerate(capability.facts)
    ]


def _line(test: AptitudeTest, found: Accuracy, t: int, c: int) -> str:
    words = ", ".join(test.keywords[t]) or f"task {t + 1}"
    grade = _GRADES[min(int(found.mean[t, c] * len(_GRADES)), len(_GRADES) - 1)]
    return f"{grade} at {words}: {100 * found.mean[t, c]:.0f} % right"


def facts_of(candidates: Sequence[str], facts: dict[str, str]) -> tuple[str, ...]:
    """The free text about each candidate, "" where nobody wrote any."""
    return tuple(facts.get(name, "") for name in candidates)
