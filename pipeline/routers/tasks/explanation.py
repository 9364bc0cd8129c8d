"""Why a prompt got its scores: the tasks that it is taken for, and how good each candidate is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.runtime.arrays import FloatMatrix, Values

_LEAST, _MOST = 0.02, 5


@dataclass(frozen=True)
class TaskShare:
    """A task by its phrases, how far the prompt is taken for it, and what each candidate gets there."""

    task: int
    phrases: tuple[str, ...]
    share: float
    quality: dict[str, float]


@dataclass(frozen=True)
class TasksExplanation:
    """The likeliest tasks of a prompt, the likeliest first, and the scores that came of them and of the prompt.

    Of a prompt that is `new`, like no task, the tasks are those that come nearest, and have no part in the scores.
    """

    tasks: tuple[TaskShare, ...]
    quality: dict[str, float]
    new: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def explanation(
    shares: FloatMatrix,
    phrases: Sequence[Sequence[str]],
    means: Values,
    candidates: Sequence[str],
    scores: FloatMatrix,
    new: bool = False,
) -> TasksExplanation:
    """From shares [tasks] of a prompt, phrases and means [tasks, c] of each task, and its scores [c]."""
    likeliest = [int(t) for t in np.argsort(-shares, kind="stable")[:_MOST] if shares[t] >= _LEAST]
    return TasksExplanation(
        tuple(
            TaskShare(t, tuple(phrases[t]), round(float(shares[t]), 6), _named(candidates, means[t])) for t in likeliest
        ),
        _named(candidates, scores),
        new,
    )


def _named(candidates: Sequence[str], values: FloatMatrix | Values) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(candidates, values, strict=True)}
