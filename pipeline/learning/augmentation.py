"""Other wordings of labelled prompts, made from the prompts alone: two in one, one typed in haste, a label's name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_JOINTS = (
    "{a} and {b}",
    "{a} and then {b}",
    "{a}. Also, {b}",
    "{a}, then {b}",
    "{a} {b}",
    "{a}; {b}",
    "{a}\n\n{b}",
    "{a}. And one more thing: {b}",
    "{a} - and besides, {b}",
)
_NEIGHBOURING_KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))
_WORD = re.compile(r"\b[a-z]{5,}\b")


def composed(one: str, other: str, generator: np.random.Generator) -> str:
    """Both prompts as one, in either order, joined as people join two requests."""
    first, second = (one, other) if generator.random() < 0.5 else (other, one)
    joint = _JOINTS[int(generator.integers(len(_JOINTS)))]
    return joint.format(a=first.rstrip(" .?!"), b=second)


def retyped(text: str, generator: np.random.Generator) -> str:
    """The text as typed in haste: lower case, no closing mark, a slip in about one long word of eight."""

    def slip(match: re.Match[str]) -> str:
        word = match.group()
        if generator.random() > 0.125:
            return word
        at = int(generator.integers(1, len(word) - 1))
        kinds = (word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:],
                 word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
                 word[:at] + _NEIGHBOURING_KEYS.get(word[at], word[at]) + word[at + 1 :])  # fmt: skip
        return kinds[int(generator.integers(len(kinds)))]

    return _WORD.sub(slip, text.lower().rstrip(" .!?"))


def spoken(names: Sequence[str]) -> list[str]:
    """Names of labels as words: `trip_booking` as `trip booking`."""
    return [re.sub(r"[\W_]+", " ", name).strip() or name for name in names]
