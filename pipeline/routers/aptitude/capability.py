"""What a candidate's answers to the test tell of it: accuracy a task, in figures and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.outcomes import FloatMatrix
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.routers.tasks.graph import Indices
from pipeline.routers.tasks.means import Values

_PRIOR = 5.0
"""A candidate's level is pulled to one half as if by so many answers."""
_TASK_PRIOR = 5.0
"""Its accuracy on a task is pulled to its level there, as if by so many answers."""


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
    filled = np.where(known, answers, 0.0).astype(np.float64)
    weight = test.weight[:, None] * known
    level = (_counted(weight, np.zeros(len(test), dtype=np.int64), 1, filled, 0.5, _PRIOR))[0][0]
    mean, effective = _counted(weight, test.task, len(test.share), filled, level, _TASK_PRIOR)
    answered = np.zeros(mean.shape)
    np.add.at(answered, test.task, known)
    return Accuracy(level, mean, np.sqrt(mean * (1 - mean) / (effective + _TASK_PRIOR)), answered)


def _counted(
    weight: Values, place: Indices, places: int, values: Values, towards: Values | float, prior: float
) -> tuple[Values, Values]:
    """Weighted means by place [places, c], pulled `towards`; and how many equally weighted values each is worth."""
    total, mass, squares = (np.zeros((places, values.shape[1])) for _ in range(3))
    for into, what in ((total, weight * values), (mass, weight), (squares, weight**2)):
        np.add.at(into, place, what)
    effective = mass**2 / np.maximum(squares, 1e-12)
    mean = total / np.maximum(mass, 1e-12)
    return (effective * mean + prior * towards) / (effective + prior), effective


def in_words(test: AptitudeTest, capability: Capability, order: Indices | None = None) -> list[list[str]]:
    """For each candidate its lines: facts first, where there are any, then a line a task: keywords and accuracy.

    `order` int64 [tasks] is that of the tasks; a task that was not tried has no line.
    """
    found = accuracy(test, capability.answers)
    tasks = np.arange(len(test.share)) if order is None else order
    return [
        [*([facts] if facts else []), *(_line(test, found, t, c) for t in tasks if found.answered[t, c])]
        for c, facts in enumerate(capability.facts)
    ]


def _line(test: AptitudeTest, found: Accuracy, t: int, c: int) -> str:
    words = ", ".join(test.keywords[t]) or f"task {t + 1}"
    return f"{words}: {100 * found.mean[t, c]:.0f} % right"


def facts_of(candidates: Sequence[str], facts: dict[str, str]) -> tuple[str, ...]:
    """The free text about each candidate, "" where nobody wrote any."""
    return tuple(facts.get(name, "") for name in candidates)
