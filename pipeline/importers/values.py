"""Reading single values of a source: numbers, texts, and whether an answer is one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from pipeline.runtime.errors import TableError

_WORDS = {"true": 1.0, "false": 0.0}
_NONE = ("", "nan", "none", "null")
_EMPTY_LIST = re.compile(r"""\[\s*((''|""|None)\s*,?\s*)*\]""")


def number(value: object, name: str, where: str) -> float | None:
    """A figure, or a truth value as 0 or 1; None where it is empty or NaN.

    Raises:
        TableError: anything else, or infinite.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _NONE:
            return None
        value = _WORDS.get(word, value)
    if value is None:
        return None
    try:
        figure = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise TableError(f"{where}: {name} is {str(value)[:40]!r}, not a number; mend it") from error
    if math.isinf(figure):
        raise TableError(f"{where}: {name} is infinite; mend it")
    return None if math.isnan(figure) else figure


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
