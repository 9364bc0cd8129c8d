"""One cell of a source's table, what is checked of it, and what is counted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline.data.cells import figure_of, text_of
from pipeline.data.names import name_of
from pipeline.data.prices import Prices
from pipeline.importers.files import OutcomeRow
from pipeline.runtime.errors import TableError
from pipeline.runtime.text import is_blank, valid_text

Verdict = Literal["judged", "failed", "repeated"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a source says of one candidate on one prompt.

    `quality` is None where the candidate was not tried or not judged. `verdict` is `failed` where the source marks that
    there is no answer to judge (an empty one, an error), whatever quality stands there, and `repeated` where the source
    holds the same pair again and its own code takes the first. `cost` is what the source states, in USD, and
    `cost_source` where that came from; `where` is the file and row, for messages.
    """

    where: str
    prompt_id: str
    prompt: str
    candidate: str
    quality: float | None
    dataset: str = ""
    verdict: Verdict = "judged"
    cost: float | None = None
    cost_source: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass
class Tally:
    """Turns cells into rows, and counts. Law: a cell becomes one row, or is counted as what it is instead."""

    prices: Prices | None = None
    rows: int = 0
    parse_failures: int = 0
    repeated: int = 0
    cost_sources: Counter[str] = field(default_factory=Counter)
    # Each id's digest of its text, and one bit for each candidate met: millions of texts or of pairs would fill memory.
    _prompts: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    _bits: dict[str, int] = field(default_factory=dict)
    _without: set[tuple[str, str]] = field(default_factory=set)

    def admit(self, cells: Iterable[Cell]) -> Iterator[OutcomeRow]:
        """The rows of the cells that have a quality.

        Raises:
            TableError: an empty prompt, id or candidate, a quality outside 0..1, a negative cost, a pair that stands
                twice, or an id of two texts.
            InputError: the price of a candidate is unknown.
        """
        for cell in map(_with_name, cells):
            if cell.verdict == "repeated":
                self.repeated += 1
            elif cell.verdict == "failed" or cell.quality is None:
                self.parse_failures += cell.verdict == "failed"
                self._without.update((("prompt", cell.prompt_id), ("candidate", cell.candidate)))
            else:
                self._check(cell)
                yield self._row(cell)

    @property
    def prompts(self) -> int:
        """How many prompts have a row."""
        return len(self._prompts)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The candidates that have a row, sorted."""
        return tuple(sorted(self._bits))

    @property
    def prompts_without(self) -> int:
        """How many prompts of the source have no row."""
        return sum(what == "prompt" and name not in self._prompts for what, name in self._without)

    @property
    def candidates_without(self) -> tuple[str, ...]:
        """The candidates of the source that have no row, sorted."""
        return tuple(sorted(name for what, name in self._without if what == "candidate" and name not in self._bits))

    def _check(self, cell: Cell) -> None:
        """Refuse a cell that cannot become a row, and remember its pair."""
        for name, text in (("prompt_id", cell.prompt_id), ("prompt", cell.prompt)):
            if is_blank(text):
                raise TableError(f"{cell.where}: the {name} is empty; mend or remove that row")
        if cell.quality is not None and not 0.0 <= cell.quality <= 1.0:
            found = f"{cell.quality:g}, outside 0..1"
            raise TableError(f"{cell.where}: the quality of {cell.candidate} is {found}; mend or remove that row")
        if cell.cost is not None and cell.cost < 0:
            raise TableError(f"{cell.where}: the cost of {cell.candidate} is negative ({cell.cost:g}); mend it")
        if min(cell.tokens_in or 0, cell.tokens_out or 0) < 0:
            raise TableError(f"{cell.where}: a token count of {cell.candidate} is negative; mend it")
        self._remember(cell)

    def _remember(self, cell: Cell) -> None:
        """Refuse an id with a second text and a pair that stands twice."""
        try:
            digest = hashlib.blake2b(valid_text(cell.prompt).encode(), digest_size=8).digest()
            valid_text(cell.prompt_id + cell.dataset)
        except ValueError as error:
            raise TableError(f"{cell.where}: a text {error}") from error
        known, seen = self._prompts.get(cell.prompt_id, (digest, 0))
        if known != digest:
            raise TableError(
                f"{cell.where}: '{cell.prompt_id}' has another text here than before; "
                "import files of one version of the source"
            )
        bit = 1 << self._bits.setdefault(cell.candidate, len(self._bits))
        if seen & bit:
            raise TableError(
                f"{cell.where}: {cell.candidate} on '{cell.prompt_id}' stands here a second time; remove one of the two"
            )
        self._prompts[cell.prompt_id] = (known, seen | bit)

    def _row(self, cell: Cell) -> OutcomeRow:
        # Sources write 0 where they knew no price.
        cost, source = (cell.cost, cell.cost_source) if cell.cost else (None, "")
        if cost is None and self.prices and cell.tokens_in is not None and cell.tokens_out is not None:
            cost, source = self.prices.cost(cell.candidate, cell.tokens_in, cell.tokens_out), self.prices.label
        self.rows += 1
        self.cost_sources[source] += 1
        quality = 0.0 if cell.quality is None else cell.quality
        return OutcomeRow(
            cell.prompt_id, cell.prompt, cell.candidate, quality, cost, source, cell.tokens_in, cell.tokens_out,
            cell.dataset,
        )  # fmt: skip


def _with_name(cell: Cell) -> Cell:
    """The cell with its candidate's name by the rule for names."""
    try:
        name = name_of(cell.candidate)
    except ValueError as error:
        raise TableError(f"{cell.where}: the candidate {error}") from error
    return cell if name == cell.candidate else replace(cell, candidate=name)


_EMPTY_LIST = re.compile(r"""\[\s*((''|""|None)\s*,?\s*)*\]""")


def number(value: object, name: str, where: str) -> float | None:
    """A figure, or a truth value as 0 or 1; None where it is empty or NaN.

    Raises:
        TableError: anything else, or infinite.
    """
    try:
        return figure_of(value)
    except ValueError as error:
        raise TableError(f"{where}: {name} {error} (found {str(value)[:40]!r}); mend it") from error


def tokens(value: object, name: str, where: str) -> int | None:
    """A count of tokens; None where it is empty.

    Raises:
        TableError: not a whole number.
    """
    figure = number(value, name, where)
    if figure is not None and figure % 1:
        raise TableError(f"{where}: {name} is {figure:g}, not a whole number; mend it")
    return None if figure is None else int(figure)


def text(entry: Mapping[str, object], key: str, where: str) -> str:
    """The text under a key.

    Raises:
        TableError: no such key, or it holds no text.
    """
    value = entry.get(key)
    if not isinstance(value, str):
        found = "is missing" if key not in entry else f"is {str(value)[:40]!r}, not text"
        raise TableError(f"{where}: '{key}' {found} (found: {', '.join(map(str, entry))[:120]}); mend that row")
    return value


def optional(entry: Mapping[str, object], key: str, where: str) -> str:
    """The text under a key, a figure's too; "" where there is none.

    Raises:
        TableError: it holds something else.
    """
    try:
        return text_of(entry.get(key))
    except ValueError as error:
        raise TableError(f"{where}: '{key}' {error} (found {str(entry.get(key))[:40]!r}); mend that row") from error


def mapping(entry: Mapping[str, object], key: str, where: str) -> dict[str, object]:
    """The object under a key; an absent or empty one is empty.

    Raises:
        TableError: it holds something else.
    """
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TableError(f"{where}: '{key}' is {str(value)[:40]!r}, not an object; mend that row")
    return value


def is_answer(value: object) -> bool:
    """Whether a source's field holds an answer: some text, a printed list with some text in it, or any structure."""
    if isinstance(value, str):
        return bool(value.strip()) and _EMPTY_LIST.fullmatch(value.strip()) is None
    return isinstance(value, (dict, list)) and bool(value)
