"""`tasks`: the scorer behind the routers' protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.data.folds import make_folds, parts
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.linear_heads import level_scores
from pipeline.routers.base.joining import joining_quality
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.base.settings import TasksParams
from pipeline.routers.tasks.assignment_selection import chosen_assignment
from pipeline.routers.tasks.descriptions import TaskDescriptions
from pipeline.routers.tasks.discovery import DiscoverySettings, chosen_discovery
from pipeline.routers.tasks.drift import TaskDrift, drift_of
from pipeline.routers.tasks.explanation import TasksExplanation, explanation
from pipeline.routers.tasks.head_selection import chosen_heads
from pipeline.routers.tasks.mixing import (
    LEAST,
    HeldOutEstimates,
    MixingWeights,
    TaskEstimates,
    chosen_mixing,
    gathered_errors,
    gathered_estimates,
)
from pipeline.routers.tasks.model import FitAssignment, ModelSettings, TaskModel
from pipeline.routers.tasks.shrunken_means import ShrinkagePrior
from pipeline.routers.tasks.task_heads import HeadSettings
from pipeline.routers.tasks.task_summary import PromptMap, TaskSummaries, TaskSummary
from pipeline.routers.text.prompt_features import PromptFeatures
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values
from pipeline.runtime.errors import InputError
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

TENSORS = "tasks.safetensors"
FACTS = "tasks.json"
_FOLDS = 3
_MOST = 6000
"""What is mixed is chosen on at most so many prompts, where not every prompt is held out once."""


class TasksScorer(Scorer):
    """Tasks discovered in a graph of the training prompts, and heads that estimate quality within them.

    Two stages after arXiv 2603.19415: a prompt's tasks give means that are shrunk, a trunk with general and task heads
    gives an estimate of the prompt itself. How fine tasks are, the heads, and how both are mixed, is chosen on held-out
    prompts. `finetune` makes the encoder that assigns prompts, where `params.assignment` asks for one.
    """

    name: ClassVar[str] = "tasks"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(TENSORS, "task and place on the map of each prompt, and centres of tasks"),
        TrainingMaterial(FACTS, "ids of the prompts, and phrases of each task's"),
    )

    def __init__(
        self,
        embedding: FrozenEmbedding,
        seed: int,
        params: TasksParams | None = None,
        progress: Progress | None = None,
        finetune: FitAssignment | None = None,
    ) -> None:
        self.embedding = self.frozen = embedding
        self.seed = seed
        self.params = params or TasksParams()
        self.progress = progress
        self.candidates: tuple[str, ...] = ()
        self.settings = ModelSettings()
        self.mixing = MixingWeights()
        self.descriptions = TaskDescriptions(self.params.descriptions, progress)
        self._finetune = finetune
        self._is_labels = True
        self._model: TaskModel | None = None
        self._evidence: TaskSummaries | None = None

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        if self.params.quality_per_usd and not np.isfinite(outcomes.cost).any():
            raise InputError(
                "tasks.quality_per_usd ranks candidates by cost, and no cost is known; add costs, or set 0"
            )
        self._is_labels = outcomes.is_labels
        vectors = self.frozen.embed(outcomes.prompts)
        real = np.ones(len(outcomes), np.bool_) if outcomes.augmented is None else ~outcomes.augmented
        sample = outcomes.rows(np.flatnonzero(real))
        self.settings = self._chosen(sample, vectors[real])
        models = self._models(outcomes, vectors, folds)
        held_out = _estimates(models, outcomes.prompts, vectors)
        if (folds[real] >= 0).all():
            self.mixing = chosen_mixing(held_out, outcomes)
        else:
            self._choose_mixing(sample, vectors[real])
        scores = self._of(gathered_estimates(held_out, self.mixing, outcomes.quality.shape))
        error = gathered_errors(held_out, self.mixing, outcomes.quality.shape)
        if int8 is None:
            return CrossFitScores(scores, error=error)
        with int8(self.frozen.loaded()) as coarse:
            again = _estimates(models, outcomes.prompts, coarse.embed(outcomes.prompts))
        values = gathered_estimates(again, self.mixing, outcomes.quality.shape)
        return CrossFitScores(scores, self._of(values), error)

    def _chosen(self, outcomes: Outcomes, vectors: FloatMatrix) -> ModelSettings:
        """What train rows choose of both stages, but for how they are mixed."""
        features = PromptFeatures.fit(outcomes.prompts, self.seed)
        known, likeness = features.of(outcomes.prompts, vectors), self._likeness(outcomes)
        discovery = chosen_discovery(known, outcomes, _FOLDS, self.seed, self.params, likeness)
        self._say(f"tasks at resolutions {discovery.coarse:g} and {discovery.fine:g}")
        heads = chosen_heads(outcomes, vectors, likeness, ModelSettings(discovery), self.params, self.seed)
        self._say(f"{heads.members} members, task heads held back by {heads.penalty:g}")
        finetune = chosen_assignment(self.params, self._finetune, outcomes, known, likeness, discovery, self.seed)
        return ModelSettings(discovery, heads, finetune)

    def _likeness(self, outcomes: Outcomes) -> FloatMatrix | None:
        """What edges are between: embeddings of the prompts' descriptions, where a model writes some."""
        return self.descriptions.embedded(outcomes.prompts, self.frozen.embed)

    def fit(self, outcomes: Outcomes) -> None:
        self._is_labels, self.candidates = outcomes.is_labels, outcomes.candidates
        vectors = self.frozen.embed(outcomes.prompts)
        self._model, tasks = TaskModel.fit(outcomes, vectors, self.settings, self.seed, self._likeness(outcomes))
        self._say(f"{len(tasks.group)} tasks from {len(outcomes)} prompts")
        features = self._model.features.of(outcomes.prompts, vectors)
        self._evidence = TaskSummaries.of(outcomes, tasks, features, self._model.assignment.centres)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        found = self._fitted()[0].of(prompts, vectors, with_tasks=self.mixing.task_heads > 0)
        return self._of(found.mixed(self.mixing))

    def estimates(self, prompts: Sequence[str], vectors: FloatMatrix) -> TaskEstimates:
        """What both stages say of prompts and their vectors [n, width], before they are mixed."""
        return self._fitted()[0].of(prompts, vectors)

    def uncertainty(self, prompts: Sequence[str], vectors: FloatMatrix) -> Values:
        """The standard error of each expected quality, float64 [n, c]."""
        return self.estimates(prompts, vectors).uncertainty(self.mixing)

    def explain(self, prompt: str, vector: FloatMatrix) -> TasksExplanation:
        """Which tasks a prompt is taken for, and what each candidate gets there."""
        model, evidence = self._fitted()
        features = model.features.of([prompt], vector[None])
        shares, is_new = model.belongs([prompt], features)[0], bool(model.assignment.is_new(features)[0])
        scores = self.scores([prompt], vector[None])[0]
        return explanation(shares, evidence.phrases, model.means, self.candidates, scores, is_new)

    def is_new(self, prompts: Sequence[str], vectors: FloatMatrix) -> Binary:
        """Which prompts are like no known task, bool [n]: their share among those asked tells drift."""
        model, _ = self._fitted()
        return model.assignment.is_new(model.features.of(prompts, vectors))

    def drift(self, prompt_ids: Sequence[str], prompts: Sequence[str], vectors: FloatMatrix) -> TaskDrift:
        """The prompts that are like no known task, and the clusters that they make."""
        model, _ = self._fitted()
        features, known = model.features.of(prompts, vectors), model.assignment
        return drift_of(prompt_ids, prompts, features, known.is_new(features), known.least_cosine, self.seed)

    def tasks(self) -> tuple[TaskSummary, ...]:
        """Every task with its evidence, the largest first."""
        model, evidence = self._fitted()
        return evidence.tasks(self.candidates, model.shortlist)

    def prompt_map(self) -> PromptMap:
        """Where the train prompts lie in a plane."""
        return self._fitted()[1].map

    def join(self, outcomes: Outcomes) -> None:
        """Add candidates by their tasks' means; nothing that is stored of another candidate changes.

        `outcomes.candidates` are the known ones in their order, then the new ones; rows may be any prompts.

        Raises:
            InputError: the known candidates do not stand first, none is new, or a new one was never tried.
        """
        model, evidence = self._fitted()
        quality = joining_quality(outcomes, self.candidates)
        vectors = self._embed(outcomes.prompts)
        belongs = model.belongs(outcomes.prompts, model.features.of(outcomes.prompts, vectors))
        self._model = model.joined(quality, belongs, self.settings.discovery)
        self._evidence = evidence.joined(quality, belongs.argmax(axis=1))
        self.candidates = outcomes.candidates

    def save(self, folder: Path) -> None:
        model, evidence = self._fitted()
        save_file({**model.tensors(), **evidence.tensors()}, folder / TENSORS)
        facts = {
            "candidates": self.candidates,
            "is_labels": self._is_labels,
            "discovery": asdict(self.settings.discovery),
            "heads": asdict(self.settings.heads),
            "mixing": asdict(self.mixing),
            "descriptions": self.descriptions.identity,
            "evidence": evidence.facts(),
        }
        write_json(facts, folder / FACTS)
        model.save_encoder(folder)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        self.embedding = self.frozen = FrozenEmbedding.load(folder)
        self.candidates, self._is_labels = tuple(facts["candidates"]), bool(facts["is_labels"])
        discovery = {**facts["discovery"], "prior": ShrinkagePrior(**facts["discovery"]["prior"])}
        self.settings = ModelSettings(DiscoverySettings(**discovery), HeadSettings(**facts.get("heads", {})))
        self.mixing = MixingWeights(**facts["mixing"])
        self.descriptions = TaskDescriptions.told(facts.get("descriptions", ""))
        self._model, self._evidence = TaskModel.load(tensors, folder), TaskSummaries.load(facts["evidence"], tensors)

    def _models(self, outcomes: Outcomes, vectors: FloatMatrix, folds: Indices) -> list[tuple[np.ndarray, TaskModel]]:
        """For each fold the rows that it holds out, and a model that did not see them."""
        found = []
        for learnt, held_out in parts(outcomes, folds):
            part = outcomes.rows(learnt)
            model, _ = TaskModel.fit(part, vectors[learnt], self.settings, self.seed, self._likeness(part))
            found.append((held_out, model))
            self._say(f"fold {len(found)}: {len(model.group)} tasks")
        return found

    def _choose_mixing(self, outcomes: Outcomes, vectors: FloatMatrix) -> None:
        some = np.sort(np.random.default_rng(self.seed).permutation(len(outcomes))[:_MOST])
        inside, known = outcomes.rows(some), vectors[some]
        models = self._models(inside, known, make_folds(inside, _FOLDS, self.seed))
        self.mixing = chosen_mixing(_estimates(models, inside.prompts, known), inside)

    def _of(self, quality: Values) -> FloatMatrix:
        return level_scores(quality, LEAST) if self._is_labels else quality.astype(np.float32)

    def _embed(self, texts: Sequence[str]) -> FloatMatrix:
        assert self.embedding is not None
        return self.embedding.embed(texts)

    def _say(self, what: str) -> None:
        if self.progress:
            self.progress(what)

    def _fitted(self) -> tuple[TaskModel, TaskSummaries]:
        if self._model is None or self._evidence is None:
            raise InputError("this tasks router was not fitted; fit it or load a saved one")
        return self._model, self._evidence


def _estimates(
    models: Sequence[tuple[np.ndarray, TaskModel]], prompts: Sequence[str], vectors: FloatMatrix
) -> HeldOutEstimates:
    return [(rows, model.of([prompts[i] for i in rows], vectors[rows])) for rows, model in models]
