"""What is asked: short prompts of about 20 tokens for single calls, whole ones for batches, and none of them twice."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHORTEST, LONGEST = 18, 22


@dataclass(frozen=True)
class Row:
    """A prompt of the dataset and its agents."""

    prompt: str
    agents: tuple[str, ...]


def read_rows(path: Path) -> list[Row]:
    """The dataset, in its own order."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(row["prompt"], tuple(row["agents"].split("|"))) for row in csv.DictReader(file)]


class Asking:
    """Hands out prompts; a text that was handed out is never handed out again."""

    def __init__(self, rows: Sequence[Row], tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._short = self._numbered([row.prompt for row in rows])
        self._texts = [row.prompt for row in rows]
        random.Random(7).shuffle(self._texts)

    def short(self, number: int) -> list[str]:
        """So many texts of 18 to 22 tokens, special ones included."""
        return list(islice(self._short, number))

    def batches(self, prompts: int, parts: int) -> list[list[str]]:
        """`prompts` whole prompts of the dataset in `parts` batches of like size."""
        chosen = self._texts[:prompts]
        return [chosen[part::parts] for part in range(parts)]

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts))]

    def _numbered(self, texts: list[str]) -> Iterator[str]:
        """Short prompts with a number behind them, as a ticket has."""
        lengths = self.tokens(texts)
        bases = [text for text, length in zip(texts, lengths, strict=True) if SHORTEST - 4 <= length <= LONGEST]
        for number in count(1):
            numbered = [f"{text} ({number})" for text in bases]
            for text, length in zip(numbered, self.tokens(numbered), strict=True):
                if SHORTEST <= length <= LONGEST:
                    yield text
