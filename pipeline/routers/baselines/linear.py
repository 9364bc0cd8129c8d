"""`linear`: one linear head a candidate on frozen sentence embeddings."""

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
from pipeline.learning.linear_heads import PENALTIES, apply_heads
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.baselines.drawn_heads import fit_drawn_heads
from pipeline.runtime.arrays import FloatMatrix, Indices

TENSORS = "linear.safetensors"


class LinearScorer(Scorer):
    """Class-balanced logistic regression (labels) or ridge regression (graded) on unit embeddings."""

    name: ClassVar[str] = "linear"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = ()

    def __init__(self, embedding: FrozenEmbedding) -> None:
        self.embedding = self.frozen = embedding
        self.inverse_penalty = PENALTIES[3]
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._biases = np.zeros(0, dtype=np.float32)

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        def fit(penalty: float, vectors: FloatMatrix, part: Outcomes) -> Score:
            heads = fit_drawn_heads(vectors, part, penalty, balanced=True)
            return lambda asked: apply_heads(asked, *heads)

        self.inverse_penalty, scores, quantised = cross_fit_vectors(self.frozen, int8, outcomes, folds, PENALTIES, fit)
        return CrossFitScores(scores, quantised)

    def fit(self, outcomes: Outcomes) -> None:
        vectors = self.frozen.embed(outcomes.prompts)
        self._weights, self._biases = fit_drawn_heads(vectors, outcomes, self.inverse_penalty, balanced=True)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return apply_heads(vectors, self._weights, self._biases)

    def save(self, folder: Path) -> None:
        save_file({"weights": self._weights, "biases": self._biases}, folder / TENSORS)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        self._weights, self._biases = tensors["weights"], tensors["biases"]
        self.embedding = self.frozen = FrozenEmbedding.load(folder)
