"""`knn`: what the nearest training prompts needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.cross_fitting import Score, cross_fit_vectors
from pipeline.learning.linear_heads import level_scores
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.baselines.prompt_effects import QualityDecomposition
from pipeline.runtime.arrays import FloatMatrix, Indices

TENSORS = "knn.safetensors"
COUNTS = (5, 10, 20, 50, 100, 200, 400)
SHARPNESS = (0.0, 10.0)
_PRIOR, _PRIOR_LABELS = 10.0, 5.0
"""A mean is pulled to the candidate's level as if by so many more neighbours; less where most agents have a 0."""
_BLOCK = 1024

Setting = tuple[int, float]
"""How many neighbours count, and how sharply their weight exp(sharpness x cosine) falls."""


class KnnScorer(Scorer):
    """Mean quality over those of the k nearest training prompts, by cosine, on which a candidate was tried.

    How many neighbours, and whether the nearer ones weigh more, is chosen on held-out folds.
    """

    name: ClassVar[str] = "knn"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(TENSORS, "a vector and the qualities of each prompt"),
    )

    def __init__(self, embedding: FrozenEmbedding) -> None:
        self.embedding = self.frozen = embedding
        self.setting: Setting = (COUNTS[1], SHARPNESS[-1])
        self._vectors = np.zeros((0, 0), dtype=np.float32)
        self._quality = np.zeros((0, 0), dtype=np.float32)
        self._known = QualityDecomposition.of(self._quality)
        self._is_labels = True

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        self._is_labels = outcomes.is_labels

        def fit(setting: Setting, vectors: FloatMatrix, part: Outcomes) -> Score:
            known = QualityDecomposition.of(part.quality)
            return lambda asked: self._score(asked, vectors, known, setting)

        counts = [count for count in COUNTS if count < len(outcomes)] or [1]
        settings = [(count, sharpness) for count in counts for sharpness in SHARPNESS]
        self.setting, scores, quantised = cross_fit_vectors(self.frozen, int8, outcomes, folds, settings, fit)
        return CrossFitScores(scores, quantised)

    def fit(self, outcomes: Outcomes) -> None:
        self._vectors = self.frozen.embed(outcomes.prompts)
        self._quality, self._known = outcomes.quality, QualityDecomposition.of(outcomes.quality)
        self._is_labels = outcomes.is_labels

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return self._score(vectors, self._vectors, self._known, self.setting)

    def _score(
        self, queries: FloatMatrix, vectors: FloatMatrix, known: QualityDecomposition, setting: Setting
    ) -> FloatMatrix:
        prior = _PRIOR_LABELS if self._is_labels else _PRIOR
        means = [
            known.means(_weights(queries[start : start + _BLOCK], vectors, setting), prior)
            for start in range(0, len(queries), _BLOCK)
        ]
        mean = np.concatenate(means)
        return level_scores(mean) if self._is_labels else mean

    def save(self, folder: Path) -> None:
        tensors = {
            "vectors": self._vectors,
            "quality": np.ascontiguousarray(self._quality),  # safetensors writes other layouts wrongly
            "settings": np.array([*self.setting, self._is_labels]),
        }
        save_file(tensors, folder / TENSORS)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        self._vectors, self._quality = tensors["vectors"], tensors["quality"]
        self._known = QualityDecomposition.of(self._quality)
        count, sharpness, is_labels = tensors["settings"].tolist()
        self.setting, self._is_labels = (int(count), sharpness), bool(is_labels)
        self.embedding = self.frozen = FrozenEmbedding.load(folder)


def _weights(queries: FloatMatrix, known: FloatMatrix, setting: Setting) -> FloatMatrix:
    """How much each train prompt counts for each query, float32 [queries, known]; 1 on average over the k that do."""
    count, sharpness = min(setting[0], len(known)), setting[1]
    cosine = queries @ known.T
    nearest = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
    weight = np.exp(sharpness * np.take_along_axis(cosine, nearest, axis=1))
    weights = np.zeros_like(cosine)
    np.put_along_axis(weights, nearest, weight / weight.mean(axis=1, keepdims=True), axis=1)
    return weights
