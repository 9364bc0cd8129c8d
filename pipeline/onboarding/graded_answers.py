"""The graded answers of a new candidate: a sheet, filled in. What is half-finished or contradicts itself is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.cells import figure_of, prompt_in, read_column, texts, values_of
from pipeline.data.outcomes import Outcomes
from pipeline.onboarding.aptitude_sheet import ITEM, SHARE, StripPrefixes
from pipeline.routers.aptitude.items import AptitudeTest, digest
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import LINE, read_table

if TYPE_CHECKING:
    import pandas as pd


_NUMBERED = re.compile(r"([1-9]\d*) of ([1-9]\d*)")


@dataclass(frozen=True)
class GradedAnswer:
    """One answer: its line, its item's place in the test, quality 0..1 (None: not graded), cost in USD (or NaN).

    Places of prompts of the holdout come after those of all items.
    """

    line: int
    item: int
    prompt_id: str
    prompt: str
    quality: float | None
    cost: float


@dataclass(frozen=True)
class GradedAnswers:
    """Graded answers, each item once, in the order of the file; at least one."""

    answers: tuple[GradedAnswer, ...]

    def on(self, test: AptitudeTest) -> FloatMatrix:
        """Quality float32 [items], NaN where an item has no answer."""
        quality = np.full(len(test), np.nan, dtype=np.float32)
        for answer, value in zip(self.answers, self._quality(), strict=True):
            if answer.item < len(test):
                quality[answer.item] = value
        return quality

    def outcomes(self, name: str, known: Sequence[str] = ()) -> Outcomes:
        """As outcomes of the candidate, after those of `known` ones, of whom they say nothing."""
        cells = np.full((len(self.answers), len(known) + 1), np.nan, dtype=np.float32)
        quality, cost = cells, cells.copy()
        quality[:, -1], cost[:, -1] = self._quality(), [answer.cost for answer in self.answers]
        return Outcomes(
            tuple(answer.prompt_id for answer in self.answers),
            tuple(answer.prompt for answer in self.answers),
            (*known, name),
            quality,
            cost,
            is_labels=False,
        )

    def _quality(self) -> list[float]:
        return [answer.quality for answer in self.answers if answer.quality is not None]


def read_graded_answers(
    path: Path, test: AptitudeTest, followed: StripPrefixes, *, partial: bool = False, holdout: Sequence[str] = ()
) -> GradedAnswers:
    """Read a sheet that somebody filled in. With `partial` items may lack a row or a quality.

    `holdout` are texts of prompts that are no items and may be graded too.

    Raises:
        TableError: see `read_table`; also a prompt that is no item or was changed, a quality or cost that is none, two
            qualities for one item, or, without `partial`, an item without one. The message names file and line.
    """
    frame = read_table(path, required=("prompt_id", "prompt", "quality"))
    rows = _rows(frame, path, test, followed, holdout)
    graded = _each_once(rows, path)
    if not graded:
        raise TableError(f"{path} grades no answer; fill the column 'quality' with 0 to 1")
    if not partial:
        _refuse_ungraded(rows, graded, path)
        _refuse_missing_rows(frame, rows, path, test)
    return GradedAnswers(tuple(graded.values()))


def _rows(
    frame: pd.DataFrame, path: Path, test: AptitudeTest, followed: StripPrefixes, holdout: Sequence[str]
) -> list[GradedAnswer]:
    read_column(frame, "prompt", path, prompt_in)
    place = {digest(text): len(test) + row for row, text in enumerate(followed(list(holdout)))}
    place |= {known: item for item, known in enumerate(test.digests)}
    costs = values_of(frame["cost"]) if "cost" in frame.columns else [None] * len(frame)
    columns = (
        frame[LINE],
        texts(frame, "prompt_id", path),
        frame["prompt"],
        followed(list(frame["prompt"])),
        values_of(frame["quality"]),
        costs,
    )
    rows = []
    for line, prompt_id, prompt, text, quality, cost in zip(*columns, strict=True):
        where = f"{path}, line {line}"
        if (item := place.get(digest(text))) is None:
            raise TableError(f"{where}: {_no_item(prompt_id, test)}")
        level, usd = _number(quality, "quality", 1.0, where), _number(cost, "cost", math.inf, where)
        rows.append(GradedAnswer(int(line), item, prompt_id, prompt, level, math.nan if usd is None else usd))
    return rows


def _no_item(prompt_id: str, test: AptitudeTest) -> str:
    """Why a row belongs to no item of the test, in words for a message."""
    if prompt_id in test.prompt_ids:
        return f"the text of prompt '{prompt_id}' is not that of the test; restore it as it was exported"
    return f"prompt '{prompt_id}' is no item of this test; remove it, or name the version that it was exported from"


def _number(value: Any, column: str, most: float, where: str) -> float | None:
    """A figure from 0 to `most`; None where the field is empty."""
    try:
        number = figure_of(value)
    except ValueError as error:
        raise TableError(f"{where}: {column} '{str(value)[:40]}' {error}; write one with a decimal point") from error
    if number is not None and not 0 <= number <= most:
        limit = "0..1" if most == 1 else "0 and above"
        raise TableError(f"{where}: {column} {number:g} is outside {limit}; mend it")
    return number


def _each_once(rows: Iterable[GradedAnswer], path: Path) -> dict[int, GradedAnswer]:
    """Graded answers by item; one that stands twice must have been graded alike."""
    found: dict[int, GradedAnswer] = {}
    for row in rows:
        if row.quality is None:
            continue
        first = found.setdefault(row.item, row)
        if first.quality != row.quality:
            raise TableError(
                f"{path}, line {row.line}: prompt '{row.prompt_id}' has quality {row.quality:g} here and "
                f"{first.quality:g} in line {first.line}; keep one"
            )
    return found


def _refuse_ungraded(rows: Sequence[GradedAnswer], graded: dict[int, GradedAnswer], path: Path) -> None:
    """Raises TableError where an item has a row and no quality."""
    empty = [row for row in rows if row.item not in graded]
    if empty:
        raise TableError(
            f"{path}, line {empty[0].line}: quality is empty, as for {len({row.item for row in empty})} of "
            f"{len({row.item for row in rows})} items; grade them, or take fewer answers with --partial"
        )


def _refuse_missing_rows(frame: pd.DataFrame, rows: Sequence[GradedAnswer], path: Path, test: AptitudeTest) -> None:
    """Raises TableError where rows that were exported are not there; without their numbers all items are expected."""
    last = frame[LINE].iloc[-1]
    if ITEM not in frame.columns:
        lacking, of = len(test) - len({row.item for row in rows if row.item < len(test)}), len(test)
        first = "" if not lacking else f"prompt '{_first_unanswered(rows, test)}'"
    else:
        numbers = [
            _numbered(value, f"{path}, line {line}") for value, line in zip(frame[ITEM], frame[LINE], strict=True)
        ]
        of = max(total for _, total in numbers)
        absent = sorted(set(range(1, of + 1)) - {number for number, _ in numbers})
        lacking, first = len(absent), f"item {absent[0]}" if absent else ""
    if lacking:
        raise TableError(
            f"{path}, line {last}: the file ends, and {lacking} of {of} items have no row, first {first}; "
            "finish it, or take fewer answers with --partial"
        )


def _first_unanswered(rows: Sequence[GradedAnswer], test: AptitudeTest) -> str:
    there = {row.item for row in rows}
    return next(name for item, name in enumerate(test.prompt_ids) if item not in there)


def _numbered(value: Any, where: str) -> tuple[int, int]:
    found = _NUMBERED.fullmatch(str(value).strip())
    if found is None:
        raise TableError(f"{where}: item '{str(value)[:40]}' is not such as '17 of 100'; keep it as it was exported")
    return int(found[1]), int(found[2])


_LEAD = re.compile(r"(?:the\s+)?(?:(?:correct|final|right)\s+)?(?:answer|option)\s*(?:is\s*:?|:|=)\s*", re.IGNORECASE)


_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\].:]*")


_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")


_EMPHASIS = "*_`$ \t\r\n"


def grade(answer: str, reference: str, grading: str) -> float | None:
    """1.0 or 0.0, or None where a person has to look.

    Safe are: the same text; a single option letter against one; a number against one, where unequal ones are both
    whole, since 3.14 and 3.1416 may both be right.
    """
    reference, said = reference.strip(), answer.strip()
    if not reference or not said or grading == SHARE:
        return None
    if said == reference:
        return 1.0
    bare = _bare(said)
    letters = _LETTER.fullmatch(reference), _LETTER.fullmatch(bare)
    if letters[0] and letters[1]:
        return float(letters[0][1].upper() == letters[1][1].upper())
    return _grade_numbers(bare.removesuffix("."), reference)


def _bare(said: str) -> str:
    """An answer without marks of emphasis and without a lead such as `The answer is`."""
    plain = said.strip(_EMPHASIS)
    lead = _LEAD.match(plain)
    return plain[lead.end() :].strip(_EMPHASIS) if lead else plain


def _grade_numbers(said: str, reference: str) -> float | None:
    """1.0 for equal numbers, 0.0 for unequal ones that are both whole, else None."""
    if not (_NUMBER.fullmatch(said) and _NUMBER.fullmatch(reference)):
        return None
    ours, theirs = (Decimal(text.replace(",", "")) for text in (said, reference))
    if ours == theirs:
        return 1.0
    return 0.0 if ours == ours.to_integral_value() and theirs == theirs.to_integral_value() else None
