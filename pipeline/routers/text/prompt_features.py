"""What a prompt is known by: its embedding, its character n-grams and its surface, as one unit vector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipeline.routers.text.character_ngrams import CharacterNgrams
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

_GRAM_AXES = 64
_LEAST_LENGTH = 0.1
Tensors = dict[str, Any]


@dataclass(frozen=True)
class PromptFeatures:
    """Three blocks, each of unit length on average, beside each other.

    `centre` float32 [18] and `scale` bring the surface of a train prompt to mean 0 and mean length 1.
    """

    grams: CharacterNgrams
    centre: FloatMatrix
    scale: float

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int) -> PromptFeatures:
        """Learn from texts alone; outcomes are not looked at."""
        found = surface(texts)
        centre = found.mean(axis=0)
        length = float(np.linalg.norm(found - centre, axis=1).mean())
        return cls(CharacterNgrams.fit(texts, _GRAM_AXES, seed), centre, 1 / max(length, _LEAST_LENGTH))

    def of(self, texts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        """Unit vectors float32 [n, width] of texts and their embeddings; a text that stands twice is read once."""
        distinct = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(distinct)}
        row = np.array([place[text] for text in texts], dtype=np.int64)
        shown = (surface(distinct) - self.centre) * self.scale
        together = np.hstack([vectors, self.grams.of(distinct)[row], shown[row]])
        length = np.linalg.norm(together, axis=1, keepdims=True)
        return np.asarray(together / np.maximum(length, 1e-6), dtype=np.float32)

    def tensors(self) -> Tensors:
        own = {"surface.centre": self.centre, "surface.scale": np.array([self.scale])}
        return {"rarity": self.grams.rarity, "axes": self.grams.axes, **own}

    @classmethod
    def load(cls, tensors: Tensors) -> PromptFeatures:
        grams = CharacterNgrams(tensors["rarity"], tensors["axes"])
        return cls(grams, tensors["surface.centre"], float(tensors["surface.scale"][0]))


_RANGES = {
    "latin": "A-Z a-z \u00c0-\u024f",
    "capital": "A-Z",
    "han": "\u3400-\u4dbf \u4e00-\u9fff",
    "kana and hangul": "\u3040-\u30ff \uac00-\ud7af \u1100-\u11ff",
    "cyrillic and greek": "\u0400-\u04ff \u0370-\u03ff",
    "right to left": "\u0590-\u05ff \u0600-\u06ff",
    "indic and thai": "\u0900-\u0dff \u0e00-\u0e7f",
    "digit": "0-9",
    "space": "\t-\t  - ",
    "line": "\n-\n",
    "code": "{-} [-] (-) ;-; =-= <-> _-_ `-` #-#",
    "sum": "+-+ *-* /-/ %-% ^-^ $-$ \u00d7-\u00d7 \u00f7-\u00f7 \\-\\",
    "question": "?-? \uff1f-\uff1f",
    "quote": "\"-\" '-' \u201c-\u201d",
}


_OPTION = re.compile(r"^\s*\(?[A-Ea-e][.):、．]", re.MULTILINE)


_ENDS_IN_COLON = re.compile(r"[:：]\s*$")


NAMES = (*_RANGES, "options", "length", "asks at its end", "ends in a colon")
"""What each column of `surface` shows."""


_BLOCK = 1024


def surface(texts: Sequence[str]) -> FloatMatrix:
    """float32 [n, 18]: square roots of shares of characters, then counts on a scale of logarithms, each about 0..1."""
    lengths = np.array([max(1, len(text)) for text in texts], dtype=np.float64)
    shares = np.sqrt(_counts(texts) / lengths[:, None])
    others = [
        (
            min(len(_OPTION.findall(text)), 6) / 6,
            np.log1p(len(text)) / 8,
            float(text.rstrip()[-1:] in ("?", "？", "")),
            float(_ENDS_IN_COLON.search(text[-40:]) is not None),
        )
        for text in texts
    ]
    return np.hstack([shares, np.array(others).reshape(len(texts), 4)]).astype(np.float32)


def _counts(texts: Sequence[str]) -> Values:
    """How many characters of each kind, float64 [n, kinds], counted a block of texts at a time."""
    classes, kinds = _classes()
    found = np.zeros((len(texts), kinds.shape[1]))
    for start in range(0, len(texts), _BLOCK):
        part = texts[start : start + _BLOCK]
        codes = np.frombuffer("".join(part).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        row = np.repeat(np.arange(len(part)), [len(text) for text in part])
        cell = row * len(kinds) + classes[np.minimum(codes, len(classes) - 1)]
        counts = np.bincount(cell, minlength=len(part) * len(kinds)).reshape(len(part), len(kinds))
        found[start : start + len(part)] = counts @ kinds
    return found


@cache
def _classes() -> tuple[Indices, Indices]:
    """The class of each character of the basic plane, int64 [65536], and what kinds a class is of [classes, kinds]."""
    table = np.zeros((1 << 16, len(_RANGES)), dtype=np.int64)
    for kind, ranges in enumerate(_RANGES.values()):
        for first, _, last in re.findall(r"(.)(-)(.)", ranges, re.DOTALL):
            table[ord(first) : ord(last) + 1, kind] = 1
    kinds, classes = np.unique(table, axis=0, return_inverse=True)
    return classes.ravel(), kinds
