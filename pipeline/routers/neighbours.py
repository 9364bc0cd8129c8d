"""`knn`: what the nearest training prompts needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.folds import Folds
from pipeline.outcomes import FloatMatrix, Outcomes
from pipeline.routers.crossfit import Score, cross_fit_vectors
from pipeline.routers.embedding import FrozenEmbedding
from pipeline.routers.heads import level_scores
from pipeline.routers.protocol import Scorer

TENSORS = "knn.safetensors"
COUNTS = (5, 10, 20, 50, 100)
_SHARPNESS = 10.0
_BLOCK = 2048


class NeighboursScorer(Scorer):
    """Mean quality of the k nearest training prompts by cosine, weighted by exp(10 x cosine)."""

    name: ClassVar[str] = "knn"

    def __init__(self, embedding: FrozenEmbedding) -> None:
        self.embedding = self.frozen = embedding
        self.count = COUNTS[1]
        self._vectors = np.zeros((0, 0), dtype=np.float32)
        self._quality = np.zeros((0, 0), dtype=np.float32)
        self._is_labels = True

    def cross_fit(self, outcomes: Outcomes, folds: Folds) -> FloatMatrix:
        self._is_labels = outcomes.is_labels

        def fit(count: int, vectors: FloatMatrix, part: Outcomes) -> Score:
            return lambda asked: self._score(asked, vectors, part.quality, count)

        counts = [count for count in COUNTS if count < len(outcomes)] or [1]
        self.count, scores, self.quantised = cross_fit_vectors(self.frozen, self.int8, outcomes, folds, counts, fit)
        return scores

    def fit(self, outcomes: Outcomes) -> None:
        self._vectors = self.frozen.embed(outcomes.prompts)
        self._quality = outcomes.quality
        self._is_labels = outcomes.is_labels

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return self._score(vectors, self._vectors, self._quality, self.count)

    def _score(self, queries: FloatMatrix, known: FloatMatrix, quality: FloatMatrix, count: int) -> FloatMatrix:
        blocks = [self._block(queries[i : i + _BLOCK], known, quality, count) for i in range(0, len(queries), _BLOCK)]
        mean = np.concatenate(blocks)
        return level_scores(mean) if self._is_labels else mean

    @staticmethod
    def _block(queries: FloatMatrix, known: FloatMatrix, quality: FloatMatrix, count: int) -> FloatMatrix:
        cosine = queries @ known.T
        count = min(count, len(known))
        nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        weight = np.exp(_SHARPNESS * np.take_along_axis(cosine, nearest, axis=1))[:, :, None]
        values = quality[nearest]
        tried = ~np.isnan(values)
        times = (~np.isnan(quality)).sum(axis=0)
        overall = np.where(times > 0, np.nansum(quality, axis=0) / np.maximum(times, 1), 0.5)
        total = (weight * tried).sum(axis=1)
        mean = (weight * np.nan_to_num(values)).sum(axis=1) / np.maximum(total, 1e-9)
        return np.asarray(np.where(total > 0, mean, overall), dtype=np.float32)

    def save(self, folder: Path) -> None:
        tensors = {
            "vectors": self._vectors,
            "quality": np.ascontiguousarray(self._quality),  # safetensors writes other layouts wrongly
            "settings": np.array([self.count, self._is_labels]),
        }
        save_file(tensors, folder / TENSORS)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        self._vectors, self._quality = tensors["vectors"], tensors["quality"]
        self.count, self._is_labels = int(tensors["settings"][0]), bool(tensors["settings"][1])
        self.embedding = self.frozen = FrozenEmbedding.load(folder)
