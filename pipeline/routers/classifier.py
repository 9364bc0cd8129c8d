"""`classifier`: a fine-tuned encoder, one sigmoid a candidate (the article on DistilBERT routing).

Held-out scores come from cross-fitting: the encoder is fine-tuned once a fold; the number of epochs with the
least pooled held-out loss is kept, and the final fit on all rows follows the same schedule up to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.torch import load_model, save_model

from pipeline.folds import Folds, Rows, parts
from pipeline.outcomes import FloatMatrix, Outcomes
from pipeline.routers.encoder import Encoder
from pipeline.routers.finetuning import (
    HeldOut,
    Network,
    Trained,
    finetune,
    infer,
    planned_epochs,
)
from pipeline.routers.settings import FinetuningParams, Progress
from pipeline.tables import write_json

HEAD = "head.safetensors"
SETTINGS = "classifier.json"
ENCODER = "encoder"


class ClassifierScorer:
    """Logits of a fine-tuned encoder. Graded outcomes are learnt as soft labels; untried cells as 0.5."""

    name: ClassVar[str] = "classifier"

    def __init__(self, params: FinetuningParams, seed: int, progress: Progress | None = None) -> None:
        self.params = params
        self.seed = seed
        self.progress = progress
        self.epochs = params.epochs
        self.curve: list[float] = []
        self._network: Network | None = None

    def cross_fit(self, outcomes: Outcomes, folds: Folds) -> FloatMatrix:
        tokens = _tokens(self.params, outcomes)
        labels = np.nan_to_num(outcomes.quality, nan=0.5)
        pairs = parts(outcomes, folds)
        runs = [
            self._run_fold(outcomes, labels, tokens, pair, f"fold {number}/{len(pairs)}")
            for number, pair in enumerate(pairs, start=1)
        ]
        shared = min(len(run.losses) for run in runs)
        weights = [len(held_out) for _, held_out in pairs]
        self.curve = [float(np.average([run.losses[e] for run in runs], weights=weights)) for e in range(shared)]
        best = int(np.argmin(self.curve))
        self.epochs = best + 1
        scores = np.full(labels.shape, np.nan, dtype=np.float32)
        for (_, held_out), run in zip(pairs, runs, strict=True):
            scores[held_out] = run.logits[best]
        return scores

    def _run_fold(
        self, outcomes: Outcomes, labels: FloatMatrix, tokens: list[list[int]], pair: tuple[Rows, Rows], name: str
    ) -> Trained:
        train, part = pair
        held_out = HeldOut([tokens[i] for i in part], labels[part])
        prompts = [outcomes.prompts[i] for i in train]
        return finetune(
            prompts, labels[train], self.params, self.seed, held_out=held_out, progress=self._progress(name)
        )

    def fit(self, outcomes: Outcomes) -> None:
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

    def steps(self, outcomes: Outcomes, folds: Folds) -> int:
        """The most training steps that `cross_fit` and `fit` take together, for a progress bar."""
        sizes = [len(train) for train, _ in parts(outcomes, folds)] + [len(outcomes)]
        return sum(-(-size // self.params.batch_size) * planned_epochs(size, self.params) for size in sizes)

    def scores(self, prompts: Sequence[str]) -> FloatMatrix:
        if self._network is None:
            raise RuntimeError("fit or load the classifier before asking it for scores")
        return infer(self._network, self._network.encoder.tokenize(prompts))

    def save(self, folder: Path) -> None:
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
        encoder = Encoder.load(str((folder / ENCODER).resolve()), self.params.max_tokens)
        self._network = Network(encoder, settings["outputs"], self.params.dropout, self.params.scale)
        load_model(self._network.head, str(folder / HEAD))
        self._network.eval()

    def _progress(self, part: str) -> Progress | None:
        if self.progress is None:
            return None
        report = self.progress
        return lambda where: report(f"{part}, {where}")


def _tokens(params: FinetuningParams, outcomes: Outcomes) -> list[list[int]]:
    return Encoder.load(params.encoder, params.max_tokens).tokenize(outcomes.prompts)
