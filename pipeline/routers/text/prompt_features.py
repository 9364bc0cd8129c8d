"""What a prompt is known by: its embedding, its character n-grams and its surface, as one unit vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.routers.text.character_ngrams import CharacterNgrams
from pipeline.routers.text.surface_features import surface
from pipeline.runtime.arrays import FloatMatrix

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
