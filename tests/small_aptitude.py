"""A small aptitude test, and the table that its items are from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.routers.aptitude.items import AptitudeTest, digest
from pipeline.runtime.tables import write_table

TASKS = {"sums": 20, "poems": 20, "trivia": 5}
"""Items of each task; a task has twice as many prompts."""


def plain(prompts: Sequence[str]) -> tuple[str, ...]:
    """`followed` of prompts that share no beginning."""
    return tuple(prompts)


def prompt_of(task: str, number: int) -> str:
    return f'{task}, question {number}:\n"what, then?"'


def small_test() -> AptitudeTest:
    named = [(task, number) for task, count in TASKS.items() for number in range(count)]
    share = np.array(list(TASKS.values())) / sum(TASKS.values())
    return AptitudeTest(
        prompt_ids=tuple(f"{task}-{number}" for task, number in named),
        digests=tuple(digest(prompt_of(task, number)) for task, number in named),
        features=np.zeros((len(named), 4), dtype=np.float32),
        task=np.array([list(TASKS).index(task) for task, _ in named]),
        weight=np.full(len(named), 2.0),
        share=share,
        keywords=tuple((task, "question") for task in TASKS),
    )


def small_table(place: Path, **columns: object) -> Path:
    """Outcomes of two candidates on all prompts; poems are graded by shares, the rest right or wrong."""
    rows = [
        {
            "prompt_id": f"{task}-{number}",
            "prompt": prompt_of(task, number),
            "candidate": name,
            "quality": 0.25 + 0.5 * (number % 2) if task == "poems" else float((number + len(name)) % 2),
            **columns,
        }
        for task, count in TASKS.items()
        for number in range(2 * count)
        for name in ("big", "little")
    ]
    write_table(pd.DataFrame(rows), place)
    return place
