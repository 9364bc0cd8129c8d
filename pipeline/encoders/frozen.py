"""Frozen sentence embeddings, remembered by text while a router is fitted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoders.encoder_files import SETTING as ENCODER_SETTING
from pipeline.encoders.windows import Embedding, EncodedPrompts
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import write_json

if TYPE_CHECKING:
    from pipeline.encoders.sentence_encoder import SentenceEncoder

SETTINGS = "embedding.json"
Reader = Callable[[str, int], Embedding]
"""From an encoder and how many tokens it reads at once to what reads with it."""
_reader: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def reading_by(reader: Reader) -> Iterator[None]:
    """While the block runs, encoders that are not trained read by `reader` in place of torch.

    For verbs on tables of one's own: nights and services say themselves what they read with.
    """
    token = _reader.set(reader)
    try:
        yield
    finally:
        _reader.reset(token)


class FrozenEmbedding:
    """Unit vectors of an encoder that is not trained, in torch (see `reading_by`); it is loaded when first asked.

    `embed` keeps every vector, so that fitting and judging on the same prompts embeds them once; `read` keeps none, and
    one that was loaded with a router neither: what it is asked never ends.
    """

    def __init__(self, encoder: str, max_tokens: int, setting: str = ENCODER_SETTING) -> None:
        """`setting` is what an error names."""
        self.encoder = encoder
        self.max_tokens = max_tokens
        self.setting = setting
        self.keeps = True
        self._known: dict[str, FloatMatrix] = {}
        self._loaded: SentenceEncoder | None = None
        self._reading: tuple[Reader, Embedding] | None = None

    def loaded(self) -> SentenceEncoder:
        """The encoder itself.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        from pipeline.encoders.sentence_encoder import SentenceEncoder

        if self._loaded is None:
            self._loaded = SentenceEncoder.load(self.encoder, self.max_tokens, self.setting)
        return self._loaded

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        """float32 [n, width], unit length.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        known = self._known if self.keeps else {}
        new = list(dict.fromkeys(text for text in prompts if text not in known))
        if new:
            known.update(zip(new, self._current().embed(new), strict=True))
        return np.stack([known[text] for text in prompts])

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        return self._current().read(prompts)

    def reads(self, language: str) -> bool:
        return self._current().reads(language)

    def _current(self) -> Embedding:
        reader = _reader.get()
        if reader is None:
            return self.loaded()
        if self._reading is None or self._reading[0] is not reader:
            self._reading = reader, reader(self.encoder, self.max_tokens)
        return self._reading[1]

    def save(self, folder: Path) -> None:
        write_json({"encoder": self.encoder, "max_tokens": self.max_tokens}, folder / SETTINGS)

    @classmethod
    def load(cls, folder: Path) -> FrozenEmbedding:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        embedding = cls(settings["encoder"], settings["max_tokens"])
        embedding.keeps = False
        return embedding
