"""Frozen sentence embeddings, remembered by text within one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.outcomes import FloatMatrix
from pipeline.tables import write_json

SETTINGS = "embedding.json"


class FrozenEmbedding:
    """Unit vectors of an encoder that is not trained. Each text is embedded once in a process."""

    def __init__(self, encoder: str, max_tokens: int) -> None:
        self.encoder = encoder
        self.max_tokens = max_tokens
        self._known: dict[str, FloatMatrix] = {}

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        """float32 [n, width], unit length.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        from pipeline.routers.encoder import Encoder

        new = list(dict.fromkeys(text for text in prompts if text not in self._known))
        if new:
            vectors = Encoder.load(self.encoder, self.max_tokens).embed(new)
            self._known.update(zip(new, vectors, strict=True))
        return np.stack([self._known[text] for text in prompts])

    def save(self, folder: Path) -> None:
        write_json({"encoder": self.encoder, "max_tokens": self.max_tokens}, folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> FrozenEmbedding:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return cls(settings["encoder"], settings["max_tokens"])
