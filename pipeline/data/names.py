"""The names of agents and models: one rule, by which tables, pools, price lists and people's decisions are read.

A name is what stands between the outer white space. It may hold spaces; it may not be empty to the eye, nor hold `|`,
which separates names in a cell, nor a control character. `gpt-x` and `GPT-X` are two names, and a doubt.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from pipeline.runtime.errors import InputError
from pipeline.runtime.text import folded, is_blank, valid_text

SEPARATOR = "|"
LIKE_A_LIST = ",;[]{}"
"""What several names in one look like."""


COLUMNS = frozenset({"prompt_id", "prompt", "text_sha256", "agents", "chosen", "fold", "precision", "line"})
"""Of tables that have a column for each candidate too."""


def refuse_columns(names: Iterable[str], where: Path) -> None:
    """Refuse candidates whose column would be taken for another.

    Raises:
        InputError: one is named as a column is.
    """
    if taken := COLUMNS.intersection(names):
        raise InputError(f"{where} names a candidate '{min(taken)}', as a column of a night's tables is; rename it")


def name_of(text: str) -> str:
    """The name that a text gives.

    Raises:
        ValueError: it gives none.
    """
    name = valid_text(text).strip()
    if is_blank(name):
        raise ValueError("has an empty name; write it, or remove it")
    if SEPARATOR in name or any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        raise ValueError(f"has the name {name!r} with '{SEPARATOR}' or a control character in it; rename it")
    return name


Name = Annotated[str, AfterValidator(name_of)]


def are_twins(one: str, other: str) -> bool:
    """Whether two names differ in nothing that the eye sees, or in case or spaces only."""
    return _twin_key(one) == _twin_key(other)


def _twin_key(name: str) -> str:
    return folded(name).replace(" ", "")


def doubts(names: Iterable[str]) -> tuple[str, ...]:
    """A line for each two names that are nearly one, and for each that looks like several."""
    found, seen = [], dict[str, str]()
    for name in dict.fromkeys(names):
        twin = seen.setdefault(_twin_key(name), name)
        if twin != name:
            found.append(
                f"{shown(twin)} and {shown(name)} differ only in case, spaces or characters that look alike, and count "
                "as two; write one of them everywhere if they are one"
            )
        if marks := [mark for mark in LIKE_A_LIST if mark in name]:
            found.append(f"{shown(name)} is read as one name although it holds '{marks[0]}'; several are written a|b")
    return tuple(found)


def shown(name: str) -> str:
    """A name in quotes; one with characters that look like others, or like nothing, with their numbers."""
    is_plain = name.isprintable() and unicodedata.is_normalized("NFC", name)
    return f"'{name}'" if is_plain else ascii(name)
