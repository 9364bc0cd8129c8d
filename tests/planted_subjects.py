"""Outcomes on prompts of four subjects, for each of which another candidate is good: small, and plain to see."""

from __future__ import annotations

import numpy as np

from pipeline.data.outcomes import Outcomes

SUBJECTS = (
    "add the numbers {} and {}, how much is that",
    "Write a sad poem about autumn leaves, verse {} of {}",
    "def f(x):\n    return x[{}] + {}  # fix this python code",
    "下列关于珠江流域的说法错误的是第{}题共{}题",
)


def subject(prompts: int) -> np.ndarray:
    """The subject of each of so many prompts, in turn."""
    return np.arange(prompts) % len(SUBJECTS)


def subject_table(prompts: int, candidates: int, is_labels: bool) -> Outcomes:
    """Prompts of four subjects, and for each subject another candidate that is right on nine of ten."""
    random = np.random.default_rng(1)
    task = subject(prompts)
    texts = tuple(SUBJECTS[t].format(i, i % 7) for i, t in enumerate(task))
    chance = np.where(np.arange(candidates) == (task % candidates)[:, None], 0.9, 0.25)
    quality = (random.random(chance.shape) < chance).astype(np.float32)
    ids = tuple(f"id-{i}" for i in range(prompts))
    names = tuple(f"model-{c}" for c in range(candidates))
    return Outcomes(ids, texts, names, quality, np.full_like(quality, np.nan), is_labels)


def two_agents(rows: int = 24) -> Outcomes:
    """Prompts about a loop (coding), a mail (email), or both."""
    quality = np.array([[i % 3 != 1, i % 3 != 0] for i in range(rows)], dtype=np.float32)
    texts = ("mend the loop", "write a mail to Ana", "mend the loop and mail Ana")
    prompts = tuple(f"{texts[(0, 1, 2)[i % 3]]}, case {i}" for i in range(rows))
    cost = np.full_like(quality, np.nan)
    return Outcomes(tuple(f"p{i}" for i in range(rows)), prompts, ("coding", "email"), quality, cost, is_labels=True)
