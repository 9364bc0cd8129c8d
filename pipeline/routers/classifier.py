"""`classifier`: a fine-tuned encoder, one sigmoid a candidate (the article on DistilBERT routing).

Held-out scores come from cross-fitting: the encoder is fine-tuned once a fold; the number of epochs with the
least pooled held-out loss is kept, and the final fit on all rows follows the same schedule up to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from safetensors.numpy import load_file

from pipeline.data.folds import parts
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8, QuantisedScores
from pipeline.learning.linear_heads import apply_heads
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

if TYPE_CHECKING:
    from pipeline.routers.finetuning import ClassifierNetwork, FinetuningResult

HEAD = "head.safetensors"
SETTINGS = "classifier.json"
ENCODER = "encoder"


class ClassifierScorer(Scorer):
    """Logits of a fine-tuned encoder. Graded outcomes are learnt as soft labels; untried cells as 0.5.

    torch is imported to train; what was saved is a linear head on an embedding, and needs numpy only.
    """

    name: ClassVar[str] = "classifier"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = ()

    def __init__(self, params: FinetuningParams, seed: int, progress: Progress | None = None) -> None:
        self.params = params
        self.seed = seed
        self.progress = progress
        self.epochs = params.epochs
        self.curve: list[float] = []
        self._network: ClassifierNetwork | None = None
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._biases = np.zeros(0, dtype=np.float32)

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        tokens = _tokens(self.params, outcomes)
        labels = np.nan_to_num(outcomes.quality, nan=0.5)
        pairs = parts(outcomes, folds)
        runs = [
            self._run_fold(outcomes, labels, tokens, pair, f"fold {number}/{len(pairs)}", int8)
            for number, pair in enumerate(pairs, start=1)
        ]
        # One number of epochs for all folds, by their pooled loss: the final fit holds no rows out to stop by, and the
        # best epoch of a single fold is mostly noise. Only epochs that every fold reached can be compared.
        shared = min(len(run.losses) for run in runs)
        weights = [len(held_out) for _, held_out in pairs]
        self.curve = [float(np.average([run.losses[e] for run in runs], weights=weights)) for e in range(shared)]
        best = int(np.argmin(self.curve))
        self.epochs = best + 1
        scores = np.full(labels.shape, np.nan, dtype=np.float32)
        for (_, held_out), run in zip(pairs, runs, strict=True):
            scores[held_out] = run.logits[best]
        return CrossFitScores(scores, _joined(scores.shape, pairs, runs))

    def _run_fold(
        self,
        outcomes: Outcomes,
        labels: FloatMatrix,
        tokens: list[list[int]],
        pair: tuple[Indices, Indices],
        name: str,
        int8: MakeInt8 | None,
    ) -> FinetuningResult:
        from pipeline.routers.finetuning import HeldOutTokens, finetune

        train, part = pair
        held_out = HeldOutTokens([tokens[i] for i in part], labels[part])
        prompts = [outcomes.prompts[i] for i in train]
        trained = finetune(
            prompts, labels[train], self.params, self.seed, held_out=held_out, progress=self._progress(name)
        )
        return trained.also_in(int8, held_out) if int8 else trained

    def fit(self, outcomes: Outcomes) -> None:
        from pipeline.routers.finetuning import finetune

        labels = np.nan_to_num(outcomes.quality, nan=0.5)
        trained = finetune(
            outcomes.prompts,
            labels,
            self.params,
            self.seed,
            stop_after=self.epochs,
            progress=self._progress("all rows"),
        )
        self._network = trained.network
        self.embedding = trained.network.encoder
        self._take_head(*trained.network.head_arrays())

    def _take_head(self, weights: FloatMatrix, biases: FloatMatrix) -> None:
        self._weights, self._biases = weights * np.float32(self.params.scale), biases

    def steps(self, outcomes: Outcomes, folds: Indices) -> int:
        """The most training steps that `cross_fit` and `fit` take together, for a progress bar."""
        sizes = [len(train) for train, _ in parts(outcomes, folds)] + [len(outcomes)]
        return sum(-(-size // self.params.batch_size) * planned_epochs(size, self.params) for size in sizes)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        return apply_heads(vectors, self._weights, self._biases)

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
                "held_out_loss": self.curve,
                "outputs": self._network.head.out_features,
            },
            folder / SETTINGS,
        )

    def load(self, folder: Path) -> None:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self.params = FinetuningParams.model_validate(settings["params"])
        self.seed, self.epochs, self.curve = settings["seed"], settings["epochs"], settings["held_out_loss"]
        head = load_file(folder / HEAD)
        self._take_head(head["weight"], head["bias"])
        self.embedding = FrozenEmbedding(str((folder / ENCODER).resolve()), self.params.max_tokens)

    def _progress(self, part: str) -> Progress | None:
        if self.progress is None:
            return None
        report = self.progress
        return lambda where: report(f"{part}, {where}")


def _tokens(params: FinetuningParams, outcomes: Outcomes) -> list[list[int]]:
    from pipeline.encoders.sentence_encoder import SentenceEncoder

    return SentenceEncoder.load(params.encoder, params.max_tokens).tokenize(outcomes.prompts)


def _joined(
    shape: tuple[int, ...], pairs: list[tuple[Indices, Indices]], runs: list[FinetuningResult]
) -> QuantisedScores | None:
    """Held-out logits in both precisions, by each fold's network as it stood after its last epoch."""
    if runs[0].int8 is None:
        return None
    joined = QuantisedScores(np.full(shape, np.nan, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32))
    for (_, held_out), run in zip(pairs, runs, strict=True):
        joined.fp32[held_out], joined.int8[held_out] = run.logits[-1], run.int8
    return joined
