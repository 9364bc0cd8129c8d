"""Prompts in other words that ask for the same: a choice that moves is one that the words made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.learning.augmentation import retyped

_SLIP_SEED = 20_011
"""Of no training."""
_TRIES = 50


def reworded(prompts: Sequence[str]) -> dict[str, list[str]]:
    """Each prompt with slips of the keys, in upper case, and with a `please`."""
    generator = np.random.default_rng(_SLIP_SEED)
    return {
        "slips of the keys": [mistyped(prompt, generator) for prompt in prompts],
        "upper case": [prompt.upper() for prompt in prompts],
        "please": [polite(prompt) for prompt in prompts],
    }


def mistyped(prompt: str, generator: np.random.Generator) -> str:
    """Typed in haste, with at least one slip where a word is long enough for one."""
    hasty = prompt.lower().rstrip(" .!?")
    for _ in range(_TRIES):
        typed = retyped(prompt, generator)
        if typed != hasty:
            return typed
    return hasty


def polite(prompt: str) -> str:
    """With `, please` before the closing mark, where it has one."""
    words = prompt.rstrip()
    end = words[-1] if words[-1] in ".!?" else ""
    return f"{words.removesuffix(end)}, please{end}"
