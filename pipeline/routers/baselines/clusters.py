"""`clusters`: k-means on embeddings, and each cluster's mean quality (the Avengers router; LLMRouterBench, 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

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

TENSORS = "clusters.safetensors"
COUNTS = (4, 8, 16, 32, 64)
_PRIOR = 10.0
"""A cluster's mean is pulled to the overall mean as if by so many more prompts of average quality."""


class ClustersScorer(Scorer):
    """Mean quality of each candidate in the prompt's cluster, shrunk towards its overall mean."""

    name: ClassVar[str] = "clusters"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(TENSORS, "the centre of each cluster; of a cluster of one, its vector"),
    )

    def __init__(self, embedding: FrozenEmbedding, seed: int) -> None:
        self.embedding = self.frozen = embedding
        self.seed = seed
        self.count = COUNTS[2]
        self._centres = np.zeros((0, 0), dtype=np.float32)
        self._levels = np.zeros((0, 0), dtype=np.float32)
        self._is_labels = True

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        self._is_labels = outcomes.is_labels

        def fit(count: int, vectors: FloatMatrix, part: Outcomes) -> Score:
            centres = _centres(vectors, count, self.seed)
            levels = _levels(nearest_centre(vectors, centres), part.quality, len(centres))
            return lambda asked: self._of(levels[nearest_centre(asked, centres)])

        counts = [count for count in COUNTS if count * 5 <= len(outcomes)] or [1]
        self.count, scores, quantised = cross_fit_vectors(self.frozen, int8, outcomes, folds, counts, fit)
        return CrossFitScores(scores, quantised)

    def fit(self, outcomes: Outcomes) -> None:
        vectors = self.frozen.embed(outcomes.prompts)
        self._is_labels = outcomes.is_labels
        self._centres = _centres(vectors, self.count, self.seed)
        self._levels = _levels(nearest_centre(vectors, self._centres), outcomes.quality, len(self._centres))

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return self._of(self._levels[nearest_centre(vectors, self._centres)])

    def _of(self, levels: FloatMatrix) -> FloatMatrix:
        return level_scores(levels) if self._is_labels else levels

    def save(self, folder: Path) -> None:
        settings = np.array([self.count, self._is_labels])
        save_file({"centres": self._centres, "levels": self._levels, "settings": settings}, folder / TENSORS)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        self._centres, self._levels = tensors["centres"], tensors["levels"]
        self.count, self._is_labels = int(tensors["settings"][0]), bool(tensors["settings"][1])
        self.embedding = self.frozen = FrozenEmbedding.load(folder)


def _centres(vectors: FloatMatrix, count: int, seed: int) -> FloatMatrix:
    """Cluster centres float32 [at most count, width]; fewer where fewer prompts differ."""
    return k_means(vectors, min(count, len(np.unique(vectors, axis=0))), seed)


def k_means(vectors: FloatMatrix, count: int, seed: int) -> FloatMatrix:
    """Cluster centres float32 [count, width]; `count` at most as many as vectors differ.

    On one thread: scikit-learn adds up what its threads found in the order in which they end.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        centres = KMeans(count, n_init=3, random_state=seed).fit(vectors).cluster_centers_
    return np.ascontiguousarray(centres, dtype=np.float32)


def nearest_centre(vectors: FloatMatrix, centres: FloatMatrix) -> Any:
    """The nearest centre of each vector, int64 [n], by Euclidean distance."""
    return ((centres * centres).sum(axis=1) - 2 * vectors @ centres.T).argmin(axis=1)


def _levels(cluster: Any, quality: FloatMatrix, count: int) -> FloatMatrix:
    """Shrunk mean quality float32 [clusters, c]; a candidate that was never tried stands at 0.5."""
    member = (np.arange(count)[:, None] == cluster[None, :]).astype(np.float32)
    return QualityDecomposition.of(quality).means(member, _PRIOR)
