"""From a prompt to its task by an encoder that was fine-tuned to tell tasks apart: it reads the prompt itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import log_softmax, softmax

from pipeline.encoders.engine_files import DESCRIPTION, GRAPH, TOKENIZER
from pipeline.encoders.onnx_encoder import OnnxEncoder
from pipeline.routers.tasks.assignment import best_temperature
from pipeline.runtime.arrays import FloatMatrix, Indices

FOLDER, HEAD = "assignment", "head.safetensors"


@dataclass(frozen=True)
class EncoderAssignment:
    """An encoder in ONNX, fp32, with weights float32 [tasks, width] and biases float32 [tasks] on its unit vectors.

    It is read in ONNX from the start, so that a router says the same before it is saved, after, and in service, where
    no torch is needed for it. `files` holds them until then.
    """

    encoder: OnnxEncoder
    weights: FloatMatrix
    biases: FloatMatrix
    place: Path
    files: TemporaryDirectory[str] | None = None

    def of(self, texts: Sequence[str]) -> FloatMatrix:
        """The probability of each task, float32 [n, tasks]; a text that stands twice is read once."""
        return np.asarray(softmax(self._logits(texts), axis=1), dtype=np.float32)

    def _logits(self, texts: Sequence[str]) -> FloatMatrix:
        distinct = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(distinct)}
        logits = self.encoder.embed(distinct) @ self.weights.T + self.biases
        return np.asarray(logits[[place[text] for text in texts]])

    def calibrated(self, texts: Sequence[str], task: Indices) -> EncoderAssignment:
        """With the temperature of least log loss on texts that it did not learn from, and their tasks int64 [n]."""
        scale = np.float32(1 / best_temperature(self._logits(texts), task)) if len(task) else np.float32(1)
        return EncoderAssignment(self.encoder, self.weights * scale, self.biases * scale, self.place, self.files)

    def loss(self, texts: Sequence[str], task: Indices) -> float:
        """Log loss on texts whose tasks int64 [n] are known."""
        return float(-log_softmax(self._logits(texts), axis=1)[np.arange(len(task)), task].mean())

    def save(self, folder: Path) -> None:
        (folder / FOLDER).mkdir()
        for name in (GRAPH, TOKENIZER, DESCRIPTION):
            shutil.copyfile(self.place / name, folder / FOLDER / name)
        save_file({"weights": self.weights, "biases": self.biases}, folder / FOLDER / HEAD)

    @staticmethod
    def is_in(folder: Path) -> bool:
        return (folder / FOLDER).is_dir()

    @classmethod
    def load(cls, folder: Path) -> EncoderAssignment:
        """Raises VerificationFailed where the encoder is damaged."""
        head = load_file(folder / FOLDER / HEAD)
        return cls(OnnxEncoder.load(folder / FOLDER), head["weights"], head["biases"], folder / FOLDER)
