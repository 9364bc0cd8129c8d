"""`classifier`: a fine-tuned encoder, one output a candidate (the article on DistilBERT routing).

Held-out scores come from cross-fitting: the encoder is fine-tuned once a fold. What serves is the mean of the weights
of networks fine-tuned on all rows (`weight_averaging`, which has more for tables of one label a prompt).

Whether added wordings and rows are learnt from is decided on the first fold: a network without them scores it too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from safetensors.numpy import load_file
from scipy.special import expit

from pipeline.data.folds import parts
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.augmentation import COMPOSE, REFUSE, RETYPE, ROWS, WAYS, AugmentationTrial
from pipeline.learning.linear_heads import apply_heads
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

if TYPE_CHECKING:
    from pipeline.routers.finetuning import ClassifierNetwork, TrainingRows, Weights

HEAD = "head.safetensors"
SETTINGS = "classifier.json"
ENCODER = "encoder"
_WORDINGS = (COMPOSE, REFUSE, RETYPE)
"""Ways of making prompts that training has settings for."""


class ClassifierScorer(Scorer):
    """Logits of a fine-tuned encoder. Graded outcomes are learnt as soft labels from what was tried; of them, which are
    not calibrated, a score is the logit's sigmoid: expected quality.

    torch is imported to train; what was saved is a linear head on an embedding, and needs numpy only.
    """

    name: ClassVar[str] = "classifier"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = ()

    def __init__(self, params: FinetuningParams, seed: int, progress: Progress | None = None) -> None:
        self.params = params
        self.seed = seed
        self.progress = progress
        self.epochs = params.epochs
        self.augmentation: AugmentationTrial | None = None
        self.graded = False
        self._network: ClassifierNetwork | None = None
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._biases = np.zeros(0, dtype=np.float32)

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        from pipeline.routers.parallel_fits import fit_all

        pairs = parts(outcomes, folds)
        fits = [partial(_held_out, self._job(outcomes, *pair), int8) for pair in pairs]
        names = [f"fold {number}/{len(pairs)}" for number in range(1, len(pairs) + 1)]
        trials = self._trials(outcomes)
        for ways in trials:
            fits.append(partial(_held_out, self._job(outcomes, *pairs[0], ways), int8))
            names.append(f"fold 1, {ways[0]} alone" if ways else "fold 1 without augmentation")
        found = fit_all(fits, names, self._fold_steps(outcomes, folds), self.progress)
        if trials:
            without, *alone = found[len(pairs) :]
            singly = {ways[0]: scored.fp32 for ways, scored in zip(trials[1:], alone, strict=True)}
            judged = outcomes.quality[pairs[0][1]]
            both = found[0].fp32, without.fp32
            self.augmentation = AugmentationTrial.of(*both, judged, singly, outcomes.is_exclusive)
            if not self.augmentation.used:
                # What is calibrated on has to be of the kind that serves.
                others = [partial(_held_out, self._job(outcomes, *pair, ()), int8) for pair in pairs[1:]]
                again = [f"{name} without augmentation" for name in names[1 : len(pairs)]]
                found = [without, *fit_all(others, again, self._fold_steps(outcomes, folds), self.progress)]
        self.graded = not outcomes.is_labels
        scores = np.full(outcomes.quality.shape, np.nan, dtype=np.float32)
        coarse = scores.copy()
        for (_, part), scored in zip(pairs, found, strict=False):
            scores[part] = self._scores(scored.fp32)
            coarse[part] = np.nan if scored.int8 is None else self._scores(scored.int8)
        return CrossFitScores(scores, coarse if int8 else None)

    def fit(self, outcomes: Outcomes) -> None:
        from pipeline.routers.parallel_fits import fit_all
        from pipeline.routers.weight_averaging import averaged

        self.graded = not outcomes.is_labels
        every, none = np.arange(len(outcomes)), np.zeros(0, dtype=np.int64)
        job = self._job(
            outcomes, every, none, tuple(WAYS) if self.augmentation is None or self.augmentation.used else ()
        )
        count = self.params.networks
        fits = [partial(_trained, job, order) for order in range(count)]
        names = [f"all rows, network {order + 1}/{count}" for order in range(count)]
        trained = fit_all(fits, names, count * self._steps_of(len(outcomes), outcomes), self.progress)
        self.epochs = planned_epochs(self._learnt(len(outcomes), outcomes), self.params)
        self._network = averaged(self.params, job.rows, trained)
        self.embedding = self._network.encoder
        self._take_head(*self._network.head_arrays())

    def _job(self, outcomes: Outcomes, train: Indices, asked: Indices, ways: Sequence[str] = tuple(WAYS)) -> _Job:
        """Rows to learn from and prompts to score; of what is made from prompts, what is made in these ways."""
        kept = [way for way in self._wordings(outcomes) if way in ways]
        unused = {*_WORDINGS}.difference(kept) | (set() if outcomes.is_labels else {"pos_weight_power"})
        params = self.params.model_copy(update=dict.fromkeys(unused, 0.0))
        if ROWS not in ways and outcomes.augmented is not None:
            train = train[~outcomes.augmented[train]]
        return _Job(_rows(outcomes.rows(train)), [outcomes.prompts[i] for i in asked], params, self.seed)

    @staticmethod
    def _wordings(outcomes: Outcomes) -> tuple[str, ...]:
        """Where each prompt has exactly one label, none is joined to another."""
        return tuple(way for way in _WORDINGS if way != COMPOSE or not outcomes.is_exclusive)

    def _trials(self, outcomes: Outcomes) -> list[tuple[str, ...]]:
        """Which ways of making prompts are tried beside all of them: none, and each alone where that is asked for."""
        used = [way for way in self._wordings(outcomes) if outcomes.is_labels and getattr(self.params, way)]
        if outcomes.augmented is not None and outcomes.augmented.any():
            used.append(ROWS)
        each = [(way,) for way in used] if self.params.ablation else []
        return [(), *each] if used else []

    def _take_head(self, weights: FloatMatrix, biases: FloatMatrix) -> None:
        self._weights, self._biases = weights * np.float32(self.params.scale), biases

    def steps(self, outcomes: Outcomes, folds: Indices) -> int:
        """The most training steps that `cross_fit` and `fit` take together, for a progress bar."""
        return self._fold_steps(outcomes, folds) + self.params.networks * self._steps_of(len(outcomes), outcomes)

    def _fold_steps(self, outcomes: Outcomes, folds: Indices) -> int:
        sizes = [len(train) for train, _ in parts(outcomes, folds)]
        return sum(self._steps_of(size, outcomes) for size in sizes + sizes[:1] * len(self._trials(outcomes)))

    def _steps_of(self, size: int, outcomes: Outcomes) -> int:
        learnt = self._learnt(size, outcomes)
        return -(-learnt // self.params.batch_size) * planned_epochs(learnt, self.params)

    def _learnt(self, size: int, outcomes: Outcomes) -> int:
        """The rows of an epoch: the prompts, and the names where they are learnt from."""
        return size + (len(outcomes.candidates) if outcomes.is_labels and self.params.names else 0)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return self._scores(apply_heads(vectors, self._weights, self._biases))

    def _scores(self, logits: FloatMatrix) -> FloatMatrix:
        return expit(logits) if self.graded else logits

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_model

        if self._network is None:
            raise RuntimeError("fit the classifier before saving it")
        encoder = self._network.encoder
        encoder.model.save_pretrained(folder / ENCODER, safe_serialization=True)
        encoder.tokenizer.save_pretrained(folder / ENCODER)
        save_model(self._network.head, str(folder / HEAD))
        write_json(
            {
                "params": self.params.model_dump(),
                "seed": self.seed,
                "epochs": self.epochs,
                "augmentation": asdict(self.augmentation) if self.augmentation else None,
                "outputs": self._network.head.out_features,
                **({"graded": True} if self.graded else {}),
            },
            folder / SETTINGS,
        )

    def load(self, folder: Path) -> None:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        # A version of an earlier release may name settings that are none any more; its weights are what they are.
        own = FinetuningParams.model_fields.keys() - {"tags", "tasks", "aptitude"}
        known = {name: value for name, value in settings["params"].items() if name in own}
        self.params = FinetuningParams.model_validate(known)
        self.seed, self.epochs = settings["seed"], settings["epochs"]
        self.graded = settings.get("graded", False)
        tried = settings.get("augmentation")
        self.augmentation = AugmentationTrial(**tried) if tried else None
        head = load_file(folder / HEAD)
        self._take_head(head["weight"], head["bias"])
        self.embedding = FrozenEmbedding(str((folder / ENCODER).resolve()), self.params.max_tokens)


@dataclass(frozen=True)
class _Job:
    """What one fit learns from, and which prompts it is asked then."""

    rows: TrainingRows
    asked: list[str]
    params: FinetuningParams
    seed: int


@dataclass(frozen=True)
class _HeldOutScores:
    """Logits float32 [n, c] of rows that a fold's network did not see; again with the encoder in int8, where asked."""

    fp32: FloatMatrix
    int8: FloatMatrix | None


def _rows(outcomes: Outcomes) -> TrainingRows:
    from pipeline.routers.finetuning import TrainingRows

    names = outcomes.candidates if outcomes.is_labels else ()
    return TrainingRows(outcomes.prompts, outcomes.quality, names, outcomes.is_exclusive)


def _held_out(job: _Job, int8: MakeInt8 | None, progress: Progress | None) -> _HeldOutScores:
    from pipeline.routers.finetuning import finetune, infer
    from pipeline.routers.weight_averaging import averaged

    network = averaged(job.params, job.rows, [finetune(job.rows, job.params, job.seed, progress=progress).trained()])
    tokens = network.encoder.tokenize(job.asked)
    exact = infer(network, tokens)
    if int8 is None:
        return _HeldOutScores(exact, None)
    weights, biases = network.head_arrays()
    with int8(network.encoder) as coarse:
        vectors = coarse.vectors(tokens)
    return _HeldOutScores(exact, apply_heads(vectors * np.float32(network.scale), weights, biases))


def _trained(job: _Job, order: int, progress: Progress | None) -> Weights:
    from pipeline.routers.finetuning import finetune

    return finetune(job.rows, job.params, job.seed, order, progress).trained()
