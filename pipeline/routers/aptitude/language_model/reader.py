"""The full variant: a small causal language model that is asked whether a candidate can handle a prompt.

After Model-SAT (arXiv 2502.17282): capability encoder, connector of one layer, language model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoders.causal_lm import causal_identity
from pipeline.encoders.encoder_files import DECISIVE, DECISIVE_BEFORE, encoder_identity
from pipeline.routers.aptitude.capability import Capability, accuracy, in_words
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.routers.aptitude.language_model.training import TrainingSchedule
from pipeline.routers.aptitude.nearest_tasks import likeness, likeness_by_task, nearest_tasks
from pipeline.routers.aptitude.training_set import TrainingSet
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.arrays import FloatMatrix, Indices, Values
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

if TYPE_CHECKING:
    from pipeline.routers.aptitude.language_model.network import CachedPrefix, ReaderNetwork

TENSORS = "full.safetensors"
FACTS = "full.json"
_BATCH = 16
_CLIP = 0.02
_TOLD = ("capability_encoder", "language_model", "model_tokens", "nearest")
"""Settings that a saved reader keeps: with others its weights mean nothing."""
Lines = tuple[str, ...]


class LanguageModelReader:
    """Behind the protocol `CapabilityReader`; the models are loaded when first needed.

    Each capability is read in two orders of its lines, which are averaged. The lines as the language model read them
    are kept from one call to the next, about 2 MB a candidate and order for SmolLM2, as long as the candidates are the
    same.
    """

    def __init__(self, params: AptitudeParams, schedule: TrainingSchedule | None = None) -> None:
        self.params = params
        self.schedule = schedule or TrainingSchedule()
        self.seed = 0
        self.losses: list[float] = []
        self._reading: ReaderNetwork | None = None
        self._read: dict[Lines, CachedPrefix] = {}

    def fit(self, training_set: TrainingSet, seed: int, progress: Progress | None = None) -> None:
        """Train for `params.steps` steps; `progress` is called once a step.

        Raises:
            InputError: a model cannot be loaded, or there is nothing to learn from in the training set.
        """
        import torch

        from pipeline.routers.aptitude.language_model.network import ReaderNetwork
        from pipeline.routers.aptitude.language_model.training import train_reader

        torch.manual_seed(seed)
        self.seed = seed
        self._read = {}
        self._reading = ReaderNetwork(self.params)
        self.losses = train_reader(self._reading, training_set, self.params, seed, self.schedule, progress)

    def logits(
        self, test: AptitudeTest, capability: Capability, prompts: Sequence[str], features: FloatMatrix
    ) -> FloatMatrix:
        """float32 [n, c]; `features` tell which tasks a prompt is like."""
        reading = self._fitted()
        tokens = reading.tokenize(prompts)
        nearest = nearest_tasks(test, features, self.params.nearest)
        orders = two_orders(len(test.share), self.seed)
        words = in_words(test, capability)
        wanted = {tuple(each.in_order(order)) for order in orders for each in words}
        self._read = {lines: known for lines, known in self._read.items() if lines in wanted}
        found = np.zeros((len(orders), len(words), len(prompts)), dtype=np.float32)
        for c, each in enumerate(words):
            asked = [reading.asked(prompt, each.of(near)) for prompt, near in zip(tokens, nearest, strict=True)]
            for place, order in enumerate(orders):
                found[place, c] = self._judged(reading, tuple(each.in_order(order)), asked)
        return np.ascontiguousarray(found.mean(axis=0).T)

    def uncertainty(self, test: AptitudeTest, capability: Capability, features: FloatMatrix) -> Values:
        """float64 [n, c]: the standard errors of a candidate's accuracy on the tasks that a prompt is like, as logits.

        The language model does not tell; this is of what it was told.
        """
        found = accuracy(test, capability.answers)
        member = likeness_by_task(test, features).astype(np.float64)
        mean = (member @ found.mean).clip(_CLIP, 1 - _CLIP)
        return np.asarray(member @ found.error / (mean * (1 - mean)))

    def attention(self, test: AptitudeTest, features: FloatMatrix) -> FloatMatrix:
        """float32 [n, items]: by likeness alone; to which items the language model attends is not told."""
        return likeness(test, features)

    def _judged(self, reading: ReaderNetwork, lines: Lines, tokens: Sequence[list[int]]) -> FloatMatrix:
        """Log-odds float32 [n] that the candidate of these lines handles each prompt."""
        import torch

        from pipeline.encoders.sentence_encoder import by_length

        found = np.zeros(len(tokens), dtype=np.float32)
        with torch.no_grad():
            if lines not in self._read:
                self._read[lines] = reading.prefix(lines)
            for batch in by_length(tokens, _BATCH):
                found[batch] = reading(self._read[lines], [tokens[row] for row in batch]).cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write what was trained; the language model and the encoder are named, with their sha256."""
        from safetensors.torch import save_file

        save_file({name: part.contiguous() for name, part in self._fitted().trained().items()}, folder / TENSORS)
        facts = {name: getattr(self.params, name) for name in _TOLD}
        write_json({**facts, "seed": self.seed, "identities": self._identities()}, folder / FACTS)

    def load(self, folder: Path) -> None:
        """
        Raises:
            InputError: a model cannot be loaded.
            VerificationFailed: a model is not the one that this reader was trained with, or the reader is older.
        """
        from safetensors.torch import load_file

        from pipeline.routers.aptitude.language_model.network import ReaderNetwork

        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if lacking := [name for name in _TOLD if name not in facts]:
            raise VerificationFailed(
                f"{folder / FACTS} tells no {lacking[0]}: a release that asked otherwise trained it; fit again"
            )
        self.params = self.params.model_copy(update={name: facts[name] for name in _TOLD})
        self.seed = int(facts["seed"])
        self._read = {}
        self._verify(facts["identities"], folder)
        self._reading = ReaderNetwork(self.params)
        self._reading.restore(load_file(folder / TENSORS))

    def _identities(self, decisive: Sequence[str] = DECISIVE) -> dict[str, str]:
        """Which models these are by their `decisive` files, under the setting that names them."""
        from pipeline.routers.aptitude.language_model.network import ENCODER_SETTING, MODEL_SETTING

        return {
            MODEL_SETTING: causal_identity(self.params.language_model, MODEL_SETTING, decisive=decisive),
            ENCODER_SETTING: encoder_identity(self.params.capability_encoder, ENCODER_SETTING, decisive),
        }

    def _verify(self, recorded: dict[str, str], folder: Path) -> None:
        before = self._identities(DECISIVE_BEFORE)
        for setting, identity in self._identities().items():
            if recorded[setting] not in (identity, before[setting]):
                raise VerificationFailed(
                    f"{folder / FACTS}: {setting} is {identity[:19]}..., but the reader was trained with "
                    f"{recorded[setting][:19]}...; bring that model back, or fit again"
                )

    def _fitted(self) -> ReaderNetwork:
        if self._reading is None:
            raise InputError("this reader was not fitted; fit it or load a saved one")
        return self._reading


def two_orders(tasks: int, seed: int) -> tuple[Indices, Indices]:
    """A random order of the tasks, and its reverse: each line stands in the middle on average."""
    order = np.random.default_rng(seed).permutation(tasks)
    return order, order[::-1]
