"""Outcomes with a planted rule, for readers of aptitude tests: four tasks, told apart by their features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from pipeline.routers.aptitude.capability import Capability
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.routers.aptitude.training_set import TrainingSet
from pipeline.runtime.arrays import FloatMatrix, Indices

TASKS, ITEMS, PROMPTS = 4, 40, 60
LEVELS = (1.0, 1.0, 0.0, 0.0)
TEXTS = ("add {} and seven", "a poem on {} swans", "cook {} eggs", "the law of {} states")
KEYWORDS = (("add", "sum"), ("poem", "swan"), ("cook", "egg"), ("law", "state"))
PAIRS = tuple(itertools.combinations(range(TASKS), 2))
OTHERS = ((0,), (1,), (2,), (3,), (0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 3))
_SURE = 0.9


def by_level(rows: int, levels: Sequence[float], seed: int) -> FloatMatrix:
    """Right as often as a level says, on whatever prompt."""
    return (np.random.default_rng(seed).random((rows, len(levels))) < levels).astype(np.float32)


def by_speciality(task: Indices, specialists: Sequence[tuple[int, ...]], seed: int) -> FloatMatrix:
    """Nearly always right on tasks of one's own, and nearly never on others."""
    own = np.array([[_SURE if t in tasks else 1 - _SURE for tasks in specialists] for t in task])
    return (np.random.default_rng(seed).random(own.shape) < own).astype(np.float32)


def prompts(count: int, first: int = 0) -> tuple[tuple[str, ...], Indices, FloatMatrix]:
    """Texts, their tasks and their features."""
    task = np.arange(count) % TASKS
    return tuple(TEXTS[t].format(first + i) for i, t in enumerate(task)), task, np.eye(TASKS, dtype=np.float32)[task]


def aptitude_test() -> AptitudeTest:
    _, task, features = prompts(ITEMS)
    ids = tuple(f"p{i}" for i in range(ITEMS))
    return AptitudeTest(ids, ids, features, task, np.ones(ITEMS), np.full(TASKS, 1 / TASKS), KEYWORDS)


def levels_alone() -> TrainingSet:
    """A candidate's level alone decides how often it is right."""
    texts, task, features = prompts(PROMPTS)
    capability = Capability(tuple("abcd"), by_level(ITEMS, LEVELS, 1), ("a large one", "", "", ""))
    quality = by_level(PROMPTS, LEVELS, 2)
    quality[::7, 0] = np.nan
    return TrainingSet(aptitude_test(), capability, texts, features, task, quality)


def specialists() -> TrainingSet:
    """Six candidates of the same level, each good at two tasks: only task and candidate together tell."""
    texts, task, features = prompts(4 * PROMPTS)
    test = aptitude_test()
    capability = Capability(tuple("abcdef"), by_speciality(test.task, PAIRS, 1), ("",) * len(PAIRS))
    return TrainingSet(test, capability, texts, features, task, by_speciality(task, PAIRS, 2))


def other_specialists() -> Capability:
    """Good at one task, or at three: nobody in training was."""
    return Capability(tuple(map(str, OTHERS)), by_speciality(aptitude_test().task, OTHERS, 3), ("",) * len(OTHERS))
