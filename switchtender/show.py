"""How results look on a terminal, and as JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pipeline.runtime.errors import listed
from pipeline.runtime.terminal import for_terminal
from pipeline.runtime.text import counted, to_digits

if TYPE_CHECKING:
    from tqdm import tqdm

    from pipeline.gating.results import GateResult

SHORT_SHA256 = 12
_SENTENCE = 20
"""The least width of a column of sentences, where names and figures compete for a line."""
_COUNT = 10
"""From here upwards a whole figure is a count, and is written as one."""
_NAME = 13
"""The width of the names beside which facts are told."""
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
_STYLES = {"passed": "green", "failed": "bold red", "undecidable": "bold yellow", "ok": "green", "missing": "bold red"}


def print_json(value: Any) -> None:
    """One JSON document on stdout; keys in the order given."""
    print(for_terminal(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def size_of(prompts: int, candidates: int) -> str:
    """`390 prompts, 20 candidates`."""
    return f"{counted(prompts, 'prompt')}, {counted(candidates, 'candidate')}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table that fits the terminal; figures to the right, verdicts coloured."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    # As `Text`, since a plain string would be read as rich's markup.
    table = Table(title=Text(for_terminal(title)), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    columns = [for_terminal(column) for column in columns]
    cells = [[for_terminal(_cell(value)) for value in row] for row in rows]
    whole = _unbroken([[column, *(row[i] for row in cells)] for i, column in enumerate(columns)], console.width)
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) or row[i] in (None, "none") for row in rows)
        # Folded where there is no room, never cut: a name that ends in dots is no name.
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold", no_wrap=whole[i])
    for row, told in zip(rows, cells, strict=True):
        table.add_row(*(Text(cell, style=_STYLES.get(str(value), "")) for value, cell in zip(row, told, strict=True)))
    console.print(table)


def _unbroken(columns: Sequence[Sequence[str]], room: int) -> list[bool]:
    """Which columns are kept in one piece: names and figures, in order, as far as that leaves room for sentences."""
    room -= 3 * len(columns) + sum(_SENTENCE for column in columns if _is_told(column))
    found = []
    for column in columns:
        width = max(map(len, column))
        found.append(not _is_told(column) and width <= room)
        room -= width if found[-1] else 0
    return found


def _is_told(column: Sequence[str]) -> bool:
    """Whether a column has sentences or lists, which may be broken between words."""
    return any(" " in cell and not _CLOCK.fullmatch(cell) for cell in column[1:])


def _cell(value: object) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= _COUNT else to_digits(value)
    return str(value)


def print_gates(title: str, gates: Iterable[GateResult]) -> None:
    """Gates as a table; a gate without a limit, or that was not asked, says so."""
    rows = [[gate.gate, gate.value, gate.told_limit, gate.told_verdict, gate.reason] for gate in gates]
    print_table(title, ["gate", "value", "limit", "verdict", "reason"], rows)


def say(line: str) -> None:
    """One plain line on stdout."""
    print(for_terminal(line), flush=True)


def say_fact(name: str, told: str) -> None:
    """What is told of a name, beside it; folded between words where the terminal ends."""
    line = for_terminal(f"  {name:<{_NAME}}{told}")
    room, under = get_terminal_size().columns, " " * (2 + _NAME)
    print(fill(line, room, subsequent_indent=under, break_long_words=False, break_on_hyphens=False), flush=True)


def say_aside(line: str) -> None:
    """One plain line on stderr: progress beside JSON, advice, a second error."""
    print(for_terminal(line), file=sys.stderr, flush=True)


def warn_of_language(which_seem: str, language: str) -> None:
    """Say that prompts (`the prompt seems`, `2 of 3 prompts seem`) are in what the encoder was not made for."""
    say_aside(
        f"warning: {which_seem} to be in {language}, which the encoder was not made for: the scores say little; "
        "e5-small reads about 100 languages (pip install 'switchtender[multilingual]', then train.encoder in the "
        "file for --params)"
    )


def warn_of_languages(found: Mapping[str, int], prompts: int) -> None:
    """The same of a table, by how many of its prompts are in each; a short prompt's language is not told."""
    if found:
        each = listed(f"{language} ({count})" for language, count in found.items())
        warn_of_language(f"at least {sum(found.values())} of {prompts} prompts seem", each)


@contextmanager
def progress_bar(name: str, unit: str, total: int | None = None) -> Iterator[tqdm[Any]]:
    """A bar that ends with the block; it is drawn on a terminal only."""
    from tqdm import tqdm

    from pipeline.runtime.stage import shows_progress

    with tqdm(desc=for_terminal(name), unit=unit, total=total, disable=not shows_progress(), leave=False) as bar:
        yield bar


@contextmanager
def training_bar(name: str) -> Iterator[Callable[[str], None]]:
    """A bar of training steps; what the block is given is called once a step, with where it is."""
    with progress_bar(name, "step") as bar:

        def advance(where: str) -> None:
            bar.set_postfix_str(for_terminal(where), refresh=False)
            bar.update()

        yield advance


def reading_bar(chunks: Sequence[list[str]]) -> Iterator[list[str]]:
    """Goes through chunks of prompts under a bar of prompts."""
    with progress_bar("reading prompts", "prompt", sum(map(len, chunks))) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))


def short(value: object) -> str:
    """A value as a cell: a sha256 is cut to 12 characters."""
    text = str(value)
    return text[:SHORT_SHA256] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
