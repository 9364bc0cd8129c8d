"""What a cell of somebody's table says: a text, a figure or names; the same in CSV, Parquet and JSON Lines.

Nothing is taken for something that it is not: what cannot be read is refused, with the row in which it stands.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.data.names import SEPARATOR, name_of
from pipeline.runtime.arrays import Binary, Values
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import LINE
from pipeline.runtime.text import is_blank, valid_text

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_EMPTY = ("", "nan", "none", "null")
_TRUTH = {"true": 1.0, "false": 0.0}
_HIGHEST = float(np.finfo(np.float32).max)
_KINDS = {"list": "a list", "tuple": "a list", "ndarray": "a list", "dict": "a mapping"}


def text_of(value: Any) -> str:
    """A cell as text, "" where it is empty; figures and truth values as they are written in a CSV file.

    Raises:
        ValueError: it is something else, or a text that UTF-8 cannot hold.
    """
    if isinstance(value, str):
        return valid_text(value)
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    is_figure = isinstance(value, int | np.integer | Decimal | float | np.floating)
    if not is_figure or (isinstance(value, float | np.floating) and math.isinf(value)):
        raise ValueError(f"is {_kind(value)}, not text")
    return str(value)


def figure_of(value: Any) -> float | None:
    """A cell as a figure, true and false as 1 and 0; None where it is empty or NaN.

    Raises:
        ValueError: it is no number, or none that float32 holds.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _EMPTY:
            return None
        value = _TRUTH.get(word, word.replace("_", "?"))  # Python reads 1_000
    if value is None:
        return None
    if not isinstance(value, str | bool | np.bool_ | int | float | np.number | Decimal):
        raise ValueError(f"is {_kind(value)}, not a number")
    try:
        figure = float(value)
    except OverflowError:
        figure = math.inf
    except (TypeError, ValueError) as error:
        raise ValueError("is not a number") from error
    if abs(figure) > _HIGHEST:
        raise ValueError("is infinite, or too large a number")
    return None if math.isnan(figure) else figure


def prompt_in(value: Any) -> str:
    """The prompt that a cell holds. A figure is none: what was typed as text is text in every kind of file.

    Raises:
        ValueError: it holds none.
    """
    if value is None or (isinstance(value, str) and is_blank(value)):
        raise ValueError("is empty")
    if not isinstance(value, str):
        raise ValueError("is not text")
    return valid_text(value)


def name_in(value: Any) -> str:
    """The one name that a cell holds.

    Raises:
        ValueError: it holds none.
    """
    text = text_of(value)
    if not text.strip():
        raise ValueError("is empty")
    return name_of(text)


def names_in(value: Any) -> tuple[str, ...]:
    """The names that a cell lists, in its order: `a|b`, or a list, be it one or printed as one; an empty cell has none.

    Raises:
        ValueError: it is something else, or a name is none.
    """
    printed = isinstance(value, str) and value.strip().startswith("[") and value.strip().endswith("]")
    if printed:
        value = _printed_list(value.strip())
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return tuple(name_of(text_of(name)) for name in value)
    text = text_of(value)
    parts = text.split(SEPARATOR) if text.strip() else []
    if len(parts) > 1 and not all(part.strip() for part in parts):
        where = "doubled" if parts[0].strip() and parts[-1].strip() else "leading or trailing"
        raise ValueError(f"is '{text[:60]}', with a {where} separator; remove that '{SEPARATOR}'")
    return tuple(map(name_of, parts))


def _printed_list(text: str) -> list[Any]:
    """A list from what JSON or Python prints of it."""
    try:
        return list(json.loads(text))
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    # Python reads ['a' 'b'], as NumPy prints two names, as one.
    if not isinstance(found, list) or repr(found) != text:
        raise ValueError(f"is {text[:60]}, which looks like a list and cannot be read as one; write a{SEPARATOR}b")
    return found


def _kind(value: Any) -> str:
    name = type(value).__name__
    return "infinite" if isinstance(value, float | np.floating) else _KINDS.get(name, f"of type {name}")


def texts(frame: pd.DataFrame, column: str, path: Path, *, filled: bool = True) -> pd.Series:
    """A column as texts; `filled` says that no cell may be blank.

    Raises:
        TableError: a cell is no text, or blank.
    """
    found = read_column(frame, column, path, text_of)
    if filled:
        refuse(frame, found.map(is_blank), path, f"{column} is empty")
    return found


def figures(frame: pd.DataFrame, column: str, path: Path, low: float, high: float) -> Values:
    """A column as figures, float64 [n], NaN where a cell is empty.

    Raises:
        TableError: a cell is no finite number, or not in `low..high`.
    """
    values, wrong = readable_figures(frame[column])
    if wrong.any():
        read_column(frame[wrong], column, path, figure_of)
    bounds = f"below {low:g}" if math.isinf(high) else f"outside {low:g}..{high:g}"
    refuse(frame, (values < low) | (values > high), path, f"{column} is {bounds}")
    return values


def known_costs(usd: Values) -> Values:
    """Costs in USD, NaN where unknown: what a table has as 0 was mostly not written down, and is free nowhere."""
    return np.where(usd == 0, np.nan, usd)


def readable_figures(column: pd.Series) -> tuple[Values, Binary]:
    """A column as figures, float64 [n], NaN where a cell is empty or holds none; and which cells hold none."""
    if column.dtype.kind in "iuf":
        values = column.to_numpy(np.float64, na_value=np.nan)
        wrong = np.abs(values) > _HIGHEST
        return np.where(wrong, np.nan, values), np.asarray(wrong)
    wrong = np.zeros(len(column), dtype=np.bool_)
    values = np.full(len(column), np.nan)
    for row, value in enumerate(values_of(column)):
        try:
            figure = figure_of(value)
        except ValueError:
            wrong[row] = True
        else:
            values[row] = np.nan if figure is None else figure
    return values, wrong


def read_column(frame: pd.DataFrame, column: str, path: Path, read: Callable[[Any], T]) -> pd.Series:
    """Each cell of a column as `read` reads it.

    Raises:
        TableError: `read` raised ValueError; the message names the row.
    """
    import pandas as pd

    found: list[T] = []
    for line, value in zip(frame[LINE], values_of(frame[column]), strict=True):
        try:
            found.append(read(value))
        except ValueError as error:
            raise TableError(f"{path}, line {line}: {column} {error}; mend or remove that row") from error
    return pd.Series(found, index=frame.index, dtype=object)


def values_of(column: pd.Series) -> Iterable[Any]:
    """The values of a column, None for whatever stands for an empty cell."""
    values = column.astype(object)
    return values.where(values.notna(), None)


def refuse(frame: pd.DataFrame, bad: pd.Series | Binary, path: Path, what: str) -> None:
    """Raises TableError for the first of the `bad` rows."""
    if bad.any():
        raise TableError(f"{path}, line {frame.loc[bad, LINE].iloc[0]}: {what}; mend or remove that row")
