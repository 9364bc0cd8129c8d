"""`aptitude`: the scorer behind the routers' protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.data.folds import parts
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.routers.aptitude.attention_reader import AttentionReader
from pipeline.routers.aptitude.capability import Capability, accuracy, facts_of
from pipeline.routers.aptitude.items import AptitudeTest, chosen_test, digest
from pipeline.routers.aptitude.platt_scaling import PlattScaling, fit_platt_scaling
from pipeline.routers.aptitude.training_set import CapabilityReader, TrainingSet
from pipeline.routers.base.joining import joining_candidates
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.tasks.explanation import TasksExplanation, explanation
from pipeline.routers.text.prompt_features import PromptFeatures
from pipeline.runtime.arrays import FloatMatrix, Indices, Values
from pipeline.runtime.errors import InputError
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

TENSORS = "aptitude.safetensors"
FACTS = "aptitude.json"
_JUDGED_IN_FULL = 200
"""Held-out rows that the full variant is calibrated on: a language model scores a few a second."""


class AptitudeScorer(Scorer):
    """A candidate is what it answered to a test; a reader judges from that whether it can handle a prompt.

    After Model-SAT (arXiv 2502.17282). The test is chosen from the training outcomes; prompts that the reader learns
    from are no items. Whoever answers the test later is scored by the same reader, which knows no candidate by name.
    Items are chosen as if those `out_of_view` were not there, though the reader learns from them: for measuring.
    """

    name: ClassVar[str] = "aptitude"
    learns_augmented: ClassVar[bool] = False
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(TENSORS, "a vector of each item of the test, and the answers to it"),
        TrainingMaterial(FACTS, "ids and digests of the items, and phrases of each task's prompts"),
    )

    def __init__(
        self,
        embedding: FrozenEmbedding,
        seed: int,
        params: AptitudeParams,
        progress: Progress | None = None,
        out_of_view: Sequence[str] = (),
    ) -> None:
        self.out_of_view = tuple(out_of_view)
        self.embedding = self.frozen = embedding
        self.seed = seed
        self.params = params
        self.progress = progress
        self.scale = PlattScaling()
        self._is_labels = True
        self._features: PromptFeatures | None = None
        self._test: AptitudeTest | None = None
        self._capability = Capability((), np.zeros((0, 0), dtype=np.float32), ())
        self._reader: CapabilityReader = self._new_reader()

    @property
    def candidates(self) -> tuple[str, ...]:
        return self._capability.candidates

    @property
    def test(self) -> AptitudeTest:
        """The items that a candidate is known by."""
        return self._fitted()[1]

    @property
    def capability(self) -> Capability:
        """What every candidate answered."""
        return self._capability

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        """Held-out scores; of the full variant, which takes long, on some rows of the first fold."""
        vectors = self.frozen.embed(outcomes.prompts)
        held_out = parts(outcomes, folds)
        found = [(rows, self._without(outcomes, vectors, rest)) for rest, rows in self._some(held_out)]
        logits = _spread(found, outcomes, vectors)
        self.scale = PlattScaling() if outcomes.is_labels else fit_platt_scaling(logits, outcomes.quality)
        self._is_labels = outcomes.is_labels
        scores, error = self._of(logits), self.scale.error(logits, _spread_errors(found, outcomes, vectors))
        if int8 is None:
            return CrossFitScores(scores, error=error)
        with int8(self.frozen.loaded()) as coarse:
            again = _spread(found, outcomes, coarse.embed(outcomes.prompts))
        return CrossFitScores(scores, self._of(again), error)

    def _some(self, held_out: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """All folds; for the full variant the first alone, with at most about 200 held-out rows."""
        if self.params.variant == "lean":
            return held_out
        rest, rows = held_out[0]
        return [(rest, rows[:: -(-len(rows) // _JUDGED_IN_FULL)])]

    def _without(self, outcomes: Outcomes, vectors: FloatMatrix, rows: np.ndarray) -> AptitudeScorer:
        """Another scorer, that learnt from some rows alone."""
        other = AptitudeScorer(self.frozen, self.seed, self.params, self.progress, self.out_of_view)
        other._learn(outcomes.rows(rows), vectors[rows])
        return other

    def fit(self, outcomes: Outcomes) -> None:
        self._is_labels = outcomes.is_labels
        self._learn(outcomes, self.frozen.embed(outcomes.prompts))

    def _learn(self, outcomes: Outcomes, vectors: FloatMatrix) -> None:
        """Choose the test and train the reader.

        Augmented rows are left out: one whose parent is an item would give its answer away.
        """
        real = np.flatnonzero(np.ones(len(outcomes)) if outcomes.augmented is None else ~outcomes.augmented)
        outcomes, vectors = outcomes.rows(real), vectors[real]
        self._features = PromptFeatures.fit(outcomes.prompts, self.seed)
        features = self._features.of(outcomes.prompts, vectors)
        seen = [c for c, name in enumerate(outcomes.candidates) if name not in self.out_of_view]
        in_view = replace(outcomes, quality=outcomes.quality[:, seen], cost=outcomes.cost[:, seen])
        self._test, task = chosen_test(in_view, features, self.params, self.seed)
        facts = facts_of(outcomes.candidates, self.params.facts)
        self._capability = Capability(outcomes.candidates, self._test.answers(outcomes), facts)
        items = set(self._test.digests)
        rest = np.array([i for i, text in enumerate(outcomes.prompts) if digest(text) not in items], dtype=np.int64)
        prompts = tuple(outcomes.prompts[i] for i in rest)
        training_set = TrainingSet(
            self._test, self._capability, prompts, features[rest], task[rest], outcomes.quality[rest]
        )
        self._say(f"a test of {len(self._test)} items, read on {len(rest)} prompts")
        self._reader = self._new_reader()
        self._reader.fit(training_set, self.seed, self.progress)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return self._of(self._logits(prompts, vectors))

    def uncertainty(self, prompts: Sequence[str], vectors: FloatMatrix) -> Values:
        """The standard error of each expected quality, float64 [n, c]: wider where fewer answers tell of it."""
        logits = self._logits(prompts, vectors)
        return self.scale.error(logits, self._logit_error(prompts, vectors))

    def explain(self, prompt: str, vector: FloatMatrix) -> TasksExplanation:
        """Which tasks of the test tell of a prompt, and what each candidate got there."""
        features, test = self._fitted()
        asked = features.of([prompt], vector[None])
        tasks = np.arange(len(test.share))
        shares = self._reader.attention(test, asked)[0] @ (test.task[:, None] == tasks)
        means = accuracy(test, self._capability.answers).mean
        return explanation(shares, test.keywords, means, self.candidates, self.scores([prompt], vector[None])[0])

    def features_of(self, prompts: Sequence[str]) -> FloatMatrix:
        """What the reader knows prompts by, float32 [n, width]; a long one by its ends."""
        return self._fitted()[0].of(prompts, self.frozen.embed(prompts))

    def _logits(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        features, test = self._fitted()
        return self._reader.logits(test, self._capability, prompts, features.of(prompts, vectors))

    def _logit_error(self, prompts: Sequence[str], vectors: FloatMatrix) -> Values:
        features, test = self._fitted()
        return self._reader.uncertainty(test, self._capability, features.of(prompts, vectors))

    def _of(self, logits: FloatMatrix) -> FloatMatrix:
        """Logits for labels, which `CalibratedRouter` calibrates; expected quality for graded outcomes."""
        return logits if self._is_labels else self.scale.quality(logits)

    def join(self, outcomes: Outcomes) -> None:
        """Add candidates by their answers alone; nothing that is stored of another candidate changes.

        `outcomes.candidates` are the known ones in their order, then the new ones; rows that are no items are passed
        over.

        Raises:
            InputError: the known candidates do not stand first, none is new, or a new one answered no item.
        """
        test = self._fitted()[1]
        new = joining_candidates(outcomes, self.candidates)
        answers = test.answers(outcomes)[:, -len(new) :]
        for name, column in zip(new, answers.T, strict=True):
            if np.isnan(column).all():
                raise InputError(
                    f"'{name}' answered none of the test's {len(test)} items; write them with 'switchtender aptitude "
                    "export', and have it answer them"
                )
        added = Capability(new, answers, facts_of(new, self.params.facts))
        self._capability = self._capability.with_others(added)

    def save(self, folder: Path) -> None:
        features, test = self._fitted()
        answers = np.ascontiguousarray(self._capability.answers)
        save_file({**features.tensors(), **test.tensors(), "answers": answers}, folder / TENSORS)
        facts = {
            "candidates": self.candidates,
            "facts": self._capability.facts,
            "is_labels": self._is_labels,
            "params": self.params.model_dump(),
            "scale": self.scale.to_json(),
            "test": test.facts(),
        }
        write_json(facts, folder / FACTS)
        self._reader.save(folder)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        self.embedding = self.frozen = FrozenEmbedding.load(folder)
        self.params = AptitudeParams(**facts["params"])
        self.scale, self._is_labels = PlattScaling(**facts["scale"]), bool(facts["is_labels"])
        self._features, self._test = PromptFeatures.load(tensors), AptitudeTest.load(facts["test"], tensors)
        self._capability = Capability(tuple(facts["candidates"]), tensors["answers"], tuple(facts["facts"]))
        self._reader = self._new_reader()
        self._reader.load(folder)

    def _new_reader(self) -> CapabilityReader:
        """The full variant is imported late: the lean one needs no language model."""
        if self.params.variant == "lean":
            return AttentionReader(self.params)
        from pipeline.routers.aptitude.language_model.reader import LanguageModelReader

        return LanguageModelReader(self.params)

    def _say(self, what: str) -> None:
        if self.progress:
            self.progress(what)

    def _fitted(self) -> tuple[PromptFeatures, AptitudeTest]:
        if self._features is None or self._test is None:
            raise InputError("this aptitude router was not fitted; fit it or load a saved one")
        return self._features, self._test


def _spread(
    found: Sequence[tuple[np.ndarray, AptitudeScorer]], outcomes: Outcomes, vectors: FloatMatrix
) -> FloatMatrix:
    """Logits of held-out rows by the scorer that did not see them, float32 [n, c], NaN elsewhere."""
    logits = np.full(outcomes.quality.shape, np.nan, dtype=np.float32)
    for rows, scorer in found:
        logits[rows] = scorer._logits([outcomes.prompts[i] for i in rows], vectors[rows])
    return logits


def _spread_errors(
    found: Sequence[tuple[np.ndarray, AptitudeScorer]], outcomes: Outcomes, vectors: FloatMatrix
) -> Values:
    """The standard errors of these logits, float64 [n, c], NaN elsewhere."""
    errors = np.full(outcomes.quality.shape, np.nan)
    for rows, scorer in found:
        errors[rows] = scorer._logit_error([outcomes.prompts[i] for i in rows], vectors[rows])
    return errors
