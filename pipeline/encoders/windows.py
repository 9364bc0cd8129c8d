"""Prompts as an encoder reads them: whole, or, where they are too long, as two ends and overlapping windows.

What is asked for mostly stands at either end of a pasted text, so a long prompt is trained on as its first and last
half. When it is answered, every part is read as well: docs/results/long-prompts.md has what that gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.encoders.languages.detection import is_known
from pipeline.runtime.arrays import FloatMatrix, Indices

Tokens = list[int]
POOLING, MEAN, LAST_TOKEN = "switchtender_pooling", "mean", "last token"
"""How an encoder's config.json says what of its last layer makes a prompt's vector; the mean where it says nothing."""
F = TypeVar("F", bound=np.floating)


class Embedding(Protocol):
    """Turns prompts into unit vectors, the same for a prompt whatever stands beside it."""

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        """float32 [n, width]: each prompt whole, or as its two ends."""

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        """Each prompt whole, or as its two ends and its windows."""

    def reads(self, language: str) -> bool:
        """Whether it was made for a language or a script that `language_of` tells."""


@dataclass(frozen=True)
class EncodedPrompts:
    """m unit vectors float32 [m, width] of n prompts, one or several a prompt, in the prompts' order.

    `first` is int64 [n]: the row of each prompt's first vector, which shows it whole or as its two ends; those of
    its windows follow. `tokens` is int64 [n].
    """

    vectors: FloatMatrix
    first: Indices
    tokens: Indices

    @property
    def counts(self) -> Indices:
        """Vectors of each prompt, int64 [n]."""
        return np.diff(np.append(self.first, len(self.vectors)))

    @property
    def windows(self) -> Indices:
        """In how many windows each prompt was read, int64 [n]; 1 where it fits whole."""
        return np.maximum(self.counts - 1, 1)

    def combine(self, scores: npt.NDArray[F], reduce: np.ufunc) -> npt.NDArray[F]:
        """Scores [m, c] of the vectors as scores [n, c] of the prompts: mean of the ends and of all windows.

        `reduce` is np.maximum where one window that asks for a candidate is enough, np.add for their mean.
        """
        whole, counts = scores[self.first], self.counts
        long = np.flatnonzero(counts > 1)
        for row in long:
            windows = scores[self.first[row] + 1 : self.first[row] + counts[row]]
            joined = reduce.reduce(windows) / (len(windows) if reduce is np.add else 1)
            whole[row] = (whole[row] + joined) / 2
        return whole


@dataclass(frozen=True)
class ContextWindow:
    """How much an encoder reads at once, and how many special tokens stand before and after a prompt's own."""

    tokens: int
    before: int
    after: int

    @classmethod
    def measured(cls, tokens: int, empty: Tokens, letter: Tokens) -> ContextWindow:
        """From the ids of an empty prompt and of one of one letter: what they share at the front stands before."""
        before = next((i for i, (a, b) in enumerate(zip(empty, letter, strict=False)) if a != b), len(empty))
        return cls(tokens, before, len(empty) - before)

    def ends(self, ids: Tokens) -> Tokens:
        """The ids, or as many of the first and of the last as there is room for."""
        if len(ids) <= self.tokens:
            return ids
        head = self.tokens // 2
        return ids[:head] + ids[len(ids) - (self.tokens - head) :]

    def views(self, ids: Tokens) -> Iterator[Tokens]:
        """The ids whole; or both ends, then windows of which each overlaps a quarter of the one before."""
        yield self.ends(ids)
        if len(ids) <= self.tokens:
            return
        head, tail = ids[: self.before], ids[len(ids) - self.after :]
        body = ids[self.before : len(ids) - self.after]
        width = self.tokens - self.before - self.after
        step = max(1, width - width // 4)
        for start in range(0, max(1, len(body) - width + step), step):
            yield head + body[start : start + width] + tail


class TextEncoder:
    """What every encoder shares: from token ids to readings. A subclass tokenizes and computes vectors."""

    room: ContextWindow

    def ids(self, prompts: Sequence[str]) -> list[Tokens]:
        """All token ids of each prompt, special tokens included."""
        raise NotImplementedError

    def vectors(self, tokens: Sequence[Tokens]) -> FloatMatrix:
        """One unit vector each, float32 [n, width]."""
        raise NotImplementedError

    def tokenize(self, prompts: Sequence[str]) -> list[Tokens]:
        """Token ids of each prompt, whole or its two ends."""
        return [self.room.ends(ids) for ids in self._something(prompts)]

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        return self.vectors(self.tokenize(prompts))

    def reads(self, language: str) -> bool:
        return is_known(language, self._pieces)

    def _pieces(self, words: Sequence[str]) -> list[Tokens]:
        return [ids[self.room.before : len(ids) - self.room.after] for ids in self.ids(words)]

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        every = self._something(prompts)
        views = [list(self.room.views(ids)) for ids in every]
        counts = np.array([len(parts) for parts in views], dtype=np.int64)
        return EncodedPrompts(
            self.vectors([part for parts in views for part in parts]),
            np.cumsum(counts) - counts,
            np.array([len(ids) for ids in every], dtype=np.int64),
        )

    def _something(self, prompts: Sequence[str]) -> list[Tokens]:
        """All token ids; where a tokenizer makes none of a prompt its token 0, since of nothing there is no mean."""
        return [ids or [0] for ids in self.ids(prompts)]
