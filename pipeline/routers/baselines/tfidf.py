"""`tfidf`: one linear head a candidate on weighted words and word pairs; the baseline without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.cross_fitting import cross_fit
from pipeline.learning.linear_heads import apply_heads
from pipeline.learning.tfidf import fitted_vectorizer, new_vectorizer
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.baselines.drawn_heads import fit_drawn_heads
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.tables import write_json

TENSORS = "tfidf.safetensors"
VOCABULARY = "tfidf.json"
SETTINGS = ((3.0, True), (30.0, True), (300.0, True), (30.0, False))
"""(inverse penalty, class-balanced) pairs that are tried on held-out folds."""


class TfidfScorer(Scorer):
    """Word TF-IDF (one and two words, sublinear) with logistic or ridge regression, tuned on held-out folds."""

    name: ClassVar[str] = "tfidf"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(VOCABULARY, "every word and pair of words of all prompts"),
    )

    def __init__(self) -> None:
        self.setting = SETTINGS[1]
        self._vectorizer: Any = None
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._biases = np.zeros(0, dtype=np.float32)

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        def fit_and_score(setting: tuple[float, bool], train: Any, held_out: Any) -> FloatMatrix:
            inside = outcomes.rows(train)
            vectorizer, features = fitted_vectorizer(inside.prompts)
            heads = fit_drawn_heads(features, inside, *setting)
            return apply_heads(vectorizer.transform(outcomes.rows(held_out).prompts), *heads)

        self.setting, scores = cross_fit(outcomes, folds, SETTINGS, fit_and_score)
        return CrossFitScores(scores)

    def fit(self, outcomes: Outcomes) -> None:
        self._vectorizer, features = fitted_vectorizer(outcomes.prompts)
        self._weights, self._biases = fit_drawn_heads(features, outcomes, *self.setting)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return apply_heads(self._vectorizer.transform(prompts), self._weights, self._biases)

    def save(self, folder: Path) -> None:
        weight = np.asarray(self._vectorizer.idf_)
        save_file({"weights": self._weights, "biases": self._biases, "idf": weight}, folder / TENSORS)
        words = sorted(self._vectorizer.vocabulary_, key=self._vectorizer.vocabulary_.__getitem__)
        write_json(words, folder / VOCABULARY)

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        self._weights, self._biases = tensors["weights"], tensors["biases"]
        words = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        self._vectorizer = new_vectorizer(vocabulary={word: i for i, word in enumerate(words)})
        self._vectorizer.idf_ = tensors["idf"]
