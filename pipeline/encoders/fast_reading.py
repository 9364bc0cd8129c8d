"""Reading many prompts of a table of one's own: through ONNX Runtime, and no prompt twice.

An encoder is exported once and kept in the user's cache folder, and so are the vectors (`vector_cache.py`). int8 is
several times as fast as fp32 and not quite the same; fp32 gives torch's vectors to 1e-6. docs/results/reading.md has
what either gains.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from pipeline.encoders.encoder_files import encoder_identity, is_fixed
from pipeline.encoders.onnx_encoder import FORMAT, FP32, OnnxEncoder
from pipeline.encoders.vector_cache import StoredReading, VectorCache, cache_folder, most_bytes
from pipeline.encoders.windows import EncodedPrompts, TextEncoder
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.device import device
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.runtime.tables import sha256_text

Precision = Literal["fp32", "int8"]
Shown = Callable[[Sequence[list[str]]], Iterable[list[str]]]
"""Goes through chunks of prompts, and may show how far it is."""
_CHUNK = 64
_BATCH = 8
"""Long prompts in batches of 8 take four fifths of the time of 32: they stay in the processor's caches."""
_ENGINES = 4
_PROBES = ("a", "Put this into Czech, please, and mail it to Jana before noon.", "select * from orders " * 40)


class FastReading:
    """How frozen encoders read while a verb on a table of one's own runs; `tell` gets a line where the cache fails."""

    def __init__(self, precision: Precision, threads: int, shown: Shown, tell: Callable[[str], None]) -> None:
        self.precision = precision
        self.threads = threads
        self.shown = shown
        self.tell = tell
        folder = cache_folder()
        self.cache = VectorCache(folder, most_bytes()) if folder else None

    def reader(self, encoder: str, max_tokens: int) -> CachedReader:
        """What reads with one encoder. Of a hub's name that may come to mean other weights nothing is kept."""
        identity = encoder_identity(encoder)
        reading = self if is_fixed(identity) else self._without_cache()
        key = f"{identity} {max_tokens} {self.precision} {FORMAT}{' cuda' * self._on_gpu}"
        return CachedReader(reading, key, lambda: reading._load(encoder, max_tokens, sha256_text(key)[:32]))

    def _without_cache(self) -> FastReading:
        bare = copy(self)
        bare.cache = None
        return bare

    def known(self, key: str, texts: Sequence[str]) -> dict[str, StoredReading]:
        """What the cache has."""
        if self.cache is None:
            return {}
        try:
            return self.cache.get(key, texts)
        except (sqlite3.Error, OSError) as error:
            self._leave(error)
            return {}

    def keep(self, key: str, readings: dict[str, StoredReading]) -> None:
        """Put readings into the cache, where there is one."""
        if self.cache is None:
            return
        try:
            self.cache.put(key, readings)
        except (sqlite3.Error, OSError) as error:
            self._leave(error)

    def _leave(self, error: Exception) -> None:
        assert self.cache is not None
        self.tell(
            f"warning: the cache {self.cache.path} cannot be used ({one_line(error, 100)}), so that prompts are read "
            "anew; 'switchtender cache --clear' makes room for a new one"
        )
        self.cache = None

    @property
    def _on_gpu(self) -> bool:
        """Whether torch on a GPU reads in place of ONNX Runtime: fp32 alone, since it has no int8."""
        return device() == "cuda" and self.precision == FP32

    def _load(self, encoder: str, max_tokens: int, name: str) -> TextEncoder:
        """The exported encoder; in torch where it cannot be exported."""
        from pipeline.encoders.sentence_encoder import SentenceEncoder

        if self._on_gpu:
            return SentenceEncoder.load(encoder, max_tokens)
        with self._engines() as engines:
            try:
                return self._opened(engines / name)
            except (SwitchtenderError, OSError):  # not there yet, or damaged: it is made anew
                pass
            read = SentenceEncoder.load(encoder, max_tokens)
            try:
                return self._exported(read, engines / name)
            except (SwitchtenderError, OSError) as error:
                self.tell(f"warning: '{encoder}' is read in torch, which is slower ({one_line(error, 120)})")
                if self.precision != FP32:
                    self.cache = None  # its vectors are not those of int8, by whose key they would be kept
                return read

    def _exported(self, encoder: TextEncoder, place: Path) -> OnnxEncoder:
        from pipeline.encoders.onnx_export import export, require_parity
        from pipeline.encoders.sentence_encoder import SentenceEncoder

        assert isinstance(encoder, SentenceEncoder)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Two that export at once leave the last one's files, whole at any moment.
        with FileLock(place.parent / ".lock"), tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as folder:
            made = Path(folder) / "engine"
            export(encoder, made, self.precision)
            if self.precision == FP32:
                require_parity(encoder, OnnxEncoder.load(made), _PROBES)
            shutil.rmtree(place, ignore_errors=True)
            made.rename(place)
        older = sorted(place.parent.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in older[_ENGINES:]:
            shutil.rmtree(old, ignore_errors=True)
        return self._opened(place)

    def _opened(self, place: Path) -> OnnxEncoder:
        encoder = OnnxEncoder.load(place, self.threads)
        encoder.batch_size = _BATCH
        return encoder

    @contextmanager
    def _engines(self) -> Iterator[Path]:
        """Where exported encoders lie: in the cache, or in a folder that is gone once they are loaded."""
        if self.cache is not None:
            yield self.cache.engines
        else:
            with tempfile.TemporaryDirectory(prefix="switchtender-") as place:
                yield Path(place)


class CachedReader:
    """Unit vectors of one encoder, which is loaded only where a prompt is new."""

    def __init__(self, reading: FastReading, key: str, load: Callable[[], TextEncoder]) -> None:
        self.reading = reading
        self.key = key
        self.load = load
        self._encoder: TextEncoder | None = None

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        """float32 [n, width]: each prompt whole, or as its two ends."""
        known = self._readings(prompts, whole=False)
        return np.stack([known[text].vectors[0] for text in prompts])

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        """Each prompt whole, or as its two ends and its windows."""
        known = self._readings(prompts, whole=True)
        counts = np.array([len(known[text].vectors) for text in prompts], dtype=np.int64)
        return EncodedPrompts(
            np.concatenate([known[text].vectors for text in prompts]),
            np.cumsum(counts) - counts,
            np.array([known[text].tokens for text in prompts], dtype=np.int64),
        )

    def reads(self, language: str) -> bool:
        """Whether the encoder was made for a language, for which it is loaded."""
        self._encoder = self._encoder or self.load()
        return self._encoder.reads(language)

    def _readings(self, prompts: Sequence[str], whole: bool) -> dict[str, StoredReading]:
        texts = list(dict.fromkeys(prompts))
        known = self.reading.known(self.key, texts)
        new = [text for text in texts if text not in known or (whole and not known[text].whole)]
        # Of like length in a chunk, so that little is padded; each chunk is kept, so that work cut short is not lost.
        new.sort(key=lambda text: (len(text), text))
        for chunk in self.reading.shown([new[i : i + _CHUNK] for i in range(0, len(new), _CHUNK)]):
            made = self._read(chunk, whole)
            self.reading.keep(self.key, made)
            known |= made
        return known

    def _read(self, texts: Sequence[str], whole: bool) -> dict[str, StoredReading]:
        self._encoder = self._encoder or self.load()
        room = self._encoder.room
        every = self._encoder.ids(texts)
        views = [list(room.views(ids)) if whole else [room.ends(ids)] for ids in every]
        vectors = np.split(
            self._encoder.vectors([part for parts in views for part in parts]), np.cumsum([len(v) for v in views])[:-1]
        )
        return {
            text: StoredReading(found, len(ids), whole or len(ids) <= room.tokens)
            for text, found, ids in zip(texts, vectors, every, strict=True)
        }
