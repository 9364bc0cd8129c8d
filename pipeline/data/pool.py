"""pool.yaml: the candidates of a model router, their prices and limits.

Read when a decision is made, not when a router is fitted: a price change, a retirement or an outage needs no refit.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from pipeline.data.cells import names_in, read_column, texts
from pipeline.data.names import LIKE_A_LIST, are_twins, shown
from pipeline.data.prices import MILLION, Priced, named_entries, read_yaml
from pipeline.runtime.arrays import Binary, Values
from pipeline.runtime.errors import InputError, listed
from pipeline.runtime.tables import read_table
from pipeline.runtime.text import folded

_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK")
EXAMPLE = "docs/examples/pool.yaml"
T = TypeVar("T", float, Values)
P = TypeVar("P", bound=Priced)


class PoolCandidate(Priced):
    """One language model that a router may choose.

    `context_tokens` bounds the prompt and the answer together. `never_send` are words: a request is
    barred where one of its labels has one of them in it, whatever its case; a retired candidate is never chosen.
    """

    context_tokens: int = Field(gt=0)
    owner: str = Field(min_length=1)
    never_send: tuple[str, ...] = Field(default=(), strict=False)
    state: Literal["in_service", "retired"] = "in_service"
    note: str = ""

    @field_validator("never_send")
    @classmethod
    def _words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_words_of(word) for word in words):
            raise ValueError("a word is empty")
        return tuple(_words_of(single_label(word)) for word in words)


def read_pool(path: Path) -> tuple[PoolCandidate, ...]:
    """Read a pool in file order.

    Raises:
        InputError: the file is missing or malformed, a key is unknown (the nearest known one is told), a price is
            unknown, or a name stands twice.
    """
    return named_entries(read_yaml(path, EXAMPLE), PoolCandidate, str(path))


def read_labels(table: Path, prompt_ids: Sequence[str]) -> list[tuple[str, ...]] | None:
    """What each prompt of a table is labelled with, for `never_send`: its column `labels`, `a|b` or a list, over all of
    the prompt's rows; None without that column.

    Raises:
        TableError: the table cannot be read, or a cell holds no labels, or several with another separator: a prompt
            whose labels cannot be read would be sent to whom they bar.
    """
    frame = read_table(table, ("prompt_id",), ("labels",))
    if "labels" not in frame.columns:
        return None
    found: dict[str, tuple[str, ...]] = {}
    cells = read_column(frame, "labels", table, _labels_in)
    for name, labels in zip(texts(frame, "prompt_id", table), cells, strict=True):
        found[name] = tuple(dict.fromkeys((*found.get(name, ()), *labels)))
    return [found[name] for name in prompt_ids]


def _labels_in(cell: object) -> tuple[str, ...]:
    if isinstance(cell, bool | int | float):
        raise ValueError(f"is {cell}, which is no label; write a|b, or a list of texts")
    return tuple(map(single_label, names_in(cell)))


def single_label(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it looks like several labels.
    """
    marks = [mark for mark in LIKE_A_LIST if mark in unicodedata.normalize("NFKC", text)]
    if marks:
        raise ValueError(f"is '{text[:60]}', which looks like several with '{marks[0]}'; write each by itself")
    return text


def _words_of(text: str) -> str:
    """The words of a label, one space between them: what is neither letter nor figure ends a word, and so does a
    capital after a small letter.
    """
    parted = "".join(
        f" {c}" if before.islower() and c.isupper() else c for before, c in zip(f" {text}", text, strict=False)
    )
    return " ".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded(parted)).split())


def _is_readable(words: str) -> bool:
    """Whether there are words, and none mixes alphabets whose letters look alike."""
    return bool(words) and all(
        len({name for c in word if (name := unicodedata.name(c, "").partition(" ")[0]) in _ALPHABETS}) < 2
        for word in words.split()
    )


def named(pool: Sequence[P], name: str) -> P:
    """The candidate of this name.

    Raises:
        InputError: the pool has none, so its price is unknown.
    """
    found = next((candidate for candidate in pool if candidate.name == name), None)
    if found is None:
        known = listed(candidate.name for candidate in pool)
        twin = next((shown(each.name) for each in pool if are_twins(each.name, name)), None)
        hint = f"it differs from {twin} by characters that look alike" if twin else f"known: {known}"
        raise InputError(
            f"the pool has no candidate {shown(name)} ({hint}); add it with its prices to pool.yaml, or rename one"
        )
    return found


def offered(pool: Sequence[P], names: Sequence[str]) -> tuple[P, ...]:
    """The pool's entries of these names, in their order.

    Raises:
        InputError: the pool lacks one, so its price is unknown.
    """
    known = {candidate.name: candidate for candidate in pool}
    return tuple(known.get(name) or named(pool, name) for name in names)


def cost_of(candidate: PoolCandidate, tokens_in: T, tokens_out: T) -> T:
    """USD for a call with so many tokens; figures, or arrays of n prompts."""
    return (tokens_in * candidate.usd_per_million_in + tokens_out * candidate.usd_per_million_out) / MILLION


def eligible(pool: Sequence[PoolCandidate], tokens_in: int, labels: Collection[str]) -> tuple[str, ...]:
    """The candidates that may answer one prompt, in the pool's order; none where no one may."""
    may = eligible_matrix(pool, np.array([tokens_in]), [labels])[0]
    return tuple(candidate.name for candidate, allowed in zip(pool, may, strict=True) if allowed)


def eligible_matrix(
    pool: Sequence[PoolCandidate],
    tokens_in: npt.NDArray[np.number],
    labels: Sequence[Collection[str]],
    tokens_out: Values | None = None,
) -> Binary:
    """Which candidate may answer which prompt, [n prompts, c candidates].

    A candidate has to be in service, may not be barred from any label of the prompt, and its context has to leave room
    for the answer: for `tokens_out` [n, c] of it where that is known (not NaN), and for one token at least.
    """
    limits = np.array([candidate.context_tokens for candidate in pool], dtype=np.int64)
    serves = np.array([candidate.state == "in_service" for candidate in pool], dtype=np.bool_)
    answer = np.ones((1, len(pool))) if tokens_out is None else np.fmax(tokens_out, 1.0)
    fits = np.asarray(tokens_in)[:, None] + answer <= limits
    barred = np.array([_barred(pool, row) for row in labels], dtype=np.bool_)
    return np.asarray(fits & serves & ~barred.reshape(fits.shape), dtype=np.bool_)


def _barred(pool: Sequence[PoolCandidate], labels: Collection[str]) -> list[bool]:
    """Which candidates may not get a prompt with these labels.

    `health` bars it for `Health/legal` too, and `personal data` for `personalData` and `personaldata`. A label that
    cannot be read bars whoever is barred from anything.
    """
    given = [_words_of(label) for label in labels]
    unread = not all(map(_is_readable, given))

    def bars(word: str) -> bool:
        return any(f" {word} " in f" {label} " or word.replace(" ", "") == label.replace(" ", "") for label in given)

    return [any(unread or bars(word) for word in candidate.never_send) for candidate in pool]
