"""Which prompts belong together in a report: data sets, lengths, scripts, and whether candidates differ at all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.metrics.cost_quality import TIE
from pipeline.runtime.arrays import Indices

UNNAMED = "(none)"
_MOST_LETTERS = 400


@dataclass(frozen=True)
class Slice:
    """Some prompts under a name, `rows` in rising order. `kind` is dataset, length, agreement or script."""

    kind: str
    name: str
    rows: Indices


def dataset_slices(outcomes: Outcomes) -> list[Slice]:
    """A slice a data set, by name; none where the table names no data sets."""
    return [] if outcomes.datasets is None else _grouped("dataset", [name or UNNAMED for name in outcomes.datasets])


def prompt_slices(outcomes: Outcomes) -> list[Slice]:
    """Short (to the median of characters) and long prompts, those on which candidates differ or not, and scripts.

    A kind of one slice is left out: it would say what the whole table says.
    """
    characters = np.array([len(prompt) for prompt in outcomes.prompts])
    middle = int(np.median(characters))
    lengths = np.where(characters <= middle, f"short (to {middle} characters)", "long")
    quality = np.where(np.isnan(outcomes.quality), np.nan, outcomes.quality.astype(np.float64))
    lowest = np.where(np.isnan(quality), np.inf, quality).min(axis=1)
    highest = np.where(np.isnan(quality), -np.inf, quality).max(axis=1)
    agreement = np.where(highest - lowest <= TIE + 1e-6, "tied (all alike)", "decided")
    kinds = {
        "length": lengths.tolist(),
        "agreement": agreement.tolist(),
        "script": [script(prompt) for prompt in outcomes.prompts],
    }
    grouped = [_grouped(kind, names) for kind, names in kinds.items()]
    return [part for parts in grouped if len(parts) > 1 for part in parts]


def script(text: str) -> str:
    """The writing system of most letters of a text, as Unicode names it (latin, cjk, cyrillic); `none` without any.

    At most 400 letters are looked at, evenly over the text.
    """
    letters = [letter for letter in text if letter.isalpha()]
    counts: dict[str, int] = {}
    for letter in letters[:: len(letters) // _MOST_LETTERS + 1]:
        counts[_script_of(letter)] = counts.get(_script_of(letter), 0) + 1
    return max(counts, key=lambda name: (counts[name], name)) if counts else "none"


@cache
def _script_of(letter: str) -> str:
    return unicodedata.name(letter, "OTHER").split()[0].lower()


def _grouped(kind: str, names: Sequence[str]) -> list[Slice]:
    values = np.array(names, dtype=object)
    return [Slice(kind, name, np.flatnonzero(values == name)) for name in sorted(set(names))]
