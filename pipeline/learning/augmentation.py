"""Other wordings of labelled prompts, made from the prompts alone: two in one, one that refuses a second, slips.

And whether they help: a fit with them beside one without, on prompts that neither saw.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from pipeline.runtime.arrays import FloatMatrix

Losses = npt.NDArray[np.floating]

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
_REFUSALS = (
    "{a}. No need to {b}.",
    "{a}. Please do not {b}.",
    "{a}, but don't {b}",
    "{a}. You don't have to {b}",
    "don't {b}, just {a}",
    "{a}. I do not want you to {b}",
)
_REFUSED_NAMES = (
    "{a}. No {b} needed.",
    "{a}. No need for {b}.",
    "{a}, without {b}",
    "{a}. Leave out the {b}, please.",
    "no {b} this time: {a}",
)
_REFUSED_WORDS = 9
_NEIGHBOURING_KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))
_WORD = re.compile(r"\b[a-z]{5,}\b")


def composed(one: str, other: str, generator: np.random.Generator) -> str:
    """Both prompts as one, in either order, joined as people join two requests."""
    first, second = (one, other) if generator.random() < 0.5 else (other, one)
    joint = _JOINTS[int(generator.integers(len(_JOINTS)))]
    return joint.format(a=first.rstrip(" .?!"), b=second)


def refusing(text: str, unwanted: str, is_name: bool, generator: np.random.Generator) -> str:
    """The text, and that something else is not wanted: what another prompt asks for first, or a label's name."""
    joints = _REFUSED_NAMES if is_name else _REFUSALS
    first = " ".join(re.split(r"[.?!\n]", unwanted.strip(), maxsplit=1)[0].split()[:_REFUSED_WORDS])
    joint = joints[int(generator.integers(len(joints)))]
    return joint.format(a=text.rstrip(" .?!"), b=first[:1].lower() + first[1:])


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


COMPOSE, REFUSE, RETYPE, ROWS = "compose", "refuse", "retype", "rows"
WAYS = {
    COMPOSE: "prompts joined to another",
    REFUSE: "refusals of what another asks for",
    RETYPE: "slips of the keys",
    ROWS: "rows of the stage augment",
}
"""How other prompts are made, by the setting of training that says how often; the last are made before it."""


@dataclass(frozen=True)
class AugmentationTrial:
    """What other wordings and augmented rows did to the loss on held-out prompts that no fit of the trial saw.

    Losses are means over `prompts` of the cross-entropy summed over labels, or, of exclusive ones, of the one. `used`
    is False only where the fit with all of them is worse by more than the standard error of the difference: on some
    hundred prompts a smaller one is chance. `alone` has, of each way that was tried without the others, the loss and
    the standard error of its difference to the loss without any.
    """

    used: bool
    prompts: int
    loss_with: float
    loss_without: float
    standard_error: float
    alone: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        with_all: FloatMatrix,
        without: FloatMatrix,
        labels: FloatMatrix,
        alone: Mapping[str, FloatMatrix] | None = None,
        exclusive: bool = False,
    ) -> AugmentationTrial:
        """From fits' logits [n, c] of the same prompts and their labels [n, c]."""
        plain = _losses(without, labels, exclusive)
        augmented = _losses(with_all, labels, exclusive)
        worse = augmented - plain
        error = _standard_error(worse)
        tried = {way: _losses(logits, labels, exclusive) for way, logits in (alone or {}).items()}
        return cls(
            bool(worse.mean() <= error),
            len(plain),
            _rounded(augmented.mean()),
            _rounded(plain.mean()),
            _rounded(error),
            {way: (_rounded(loss.mean()), _rounded(_standard_error(loss - plain))) for way, loss in tried.items()},
        )


def _losses(logits: FloatMatrix, labels: FloatMatrix, exclusive: bool) -> Losses:
    """Cross-entropy of each prompt, as training has it: [n]."""
    if exclusive:
        return np.asarray(-(labels * log_softmax(logits, axis=1)).sum(axis=1))
    return np.asarray((np.logaddexp(0.0, logits) - labels * logits).sum(axis=1))


def _standard_error(differences: Losses) -> float:
    """Of their mean; of a single one its size."""
    if len(differences) < 2:
        return abs(float(differences.sum()))
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _rounded(value: float) -> float:
    return round(float(value), 6)
