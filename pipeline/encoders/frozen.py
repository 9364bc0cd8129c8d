"""Frozen sentence embeddings, remembered by text while a router is fitted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoders.windows import EncodedPrompts
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import write_json

if TYPE_CHECKING:
    from pipeline.encoders.sentence_encoder import SentenceEncoder


SETTINGS = "embedding.json"


class FrozenEmbedding:
    """Unit vectors of an encoder that is not trained, in torch; it is loaded when first asked.

    `embed` keeps every vector, so that fitting and judging on the same prompts embeds them once; `read` keeps none.
    """

    def __init__(self, encoder: str, max_tokens: int) -> None:
        self.encoder = encoder
        self.max_tokens = max_tokens
        self._known: dict[str, FloatMatrix] = {}
        self._loaded: SentenceEncoder | None = None

    def loaded(self) -> SentenceEncoder:
        """The encoder itself.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        from pipeline.encoders.sentence_encoder import SentenceEncoder

        if self._loaded is None:
            self._loaded = SentenceEncoder.load(self.encoder, self.max_tokens)
        return self._loaded

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        """float32 [n, width], unit length.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        new = list(dict.fromkeys(text for text in prompts if text not in self._known))
        if new:
            self._known.update(zip(new, self.loaded().embed(new), strict=True))
        return np.stack([self._known[text] for text in prompts])

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        return self.loaded().read(prompts)

    def save(self, folder: Path) -> None:
        write_json({"encoder": self.encoder, "max_tokens": self.max_tokens}, folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> FrozenEmbedding:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return cls(settings["encoder"], settings["max_tokens"])
