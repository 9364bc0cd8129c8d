"""Text as people write it into files: with a mark of byte order or without, and always fit for UTF-8."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

BOM = "\ufeff"
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters without a shape: Hangul's fillers and Braille's blank cell."""
_LOOKALIKES = str.maketrans(
    "авеѕіјкмнорстухԁһӏԛԝ" + "αβεζικμνορτυχγη" + "ıɑɡøłđ" + "013457",
    "abesijkmhopctyxdhlqw" + "abezikmvoptuxyn" + "iagold" + "oleast",
)
"""Cyrillic, Greek and other letters, folded, and digits, to the Latin letters that they are written for."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a mark of byte order before it, as editors on Windows write it, is no part of it.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be opened, or is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text; half a surrogate pair, which JSON and Python may have in one, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_digits(value: float, digits: int = 3) -> str:
    """A figure to so many digits after the point; one that would read as nothing, such as a cost, by its first ones."""
    return f"{value:.{digits}g}" if 0 < abs(value) < 10**-digits else f"{value:,.{digits}f}"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """`1 prompt`, `2,205 prompts`; `nouns` is a plural that is not made by an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def clock(moment: str) -> str:
    """A moment of a log (UTC, ISO 8601) to the minute."""
    return moment[:16].replace("T", " ")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def valid_text(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: UTF-8 cannot hold it.
    """
    if not is_unicode(text):
        raise ValueError("has half a surrogate pair, which is no character; send valid Unicode")
    return text


def folded(text: str) -> str:
    """A text without what the eye passes over: case, forms of one letter, invisible characters, repeated spaces."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(letter for letter in plain if not _is_invisible(letter)).split())


def is_blank(text: str) -> bool:
    """Whether there is nothing to see in a text: white space, control and invisible characters at most."""
    return all(
        letter.isspace() or unicodedata.category(letter) == "Cc" or _is_invisible(letter) or letter in _FILLERS
        for letter in text
    )


def _is_invisible(letter: str) -> bool:
    return unicodedata.category(letter) == "Cf" or letter == "\u034f" or "\ufe00" <= letter <= "\ufe0f"


def skeleton(text: str) -> str:
    """The letters and digits of a text alone, folded, without accents, and lookalikes of Latin letters as these.

    Two texts with one skeleton look alike, or differ in spacing and punctuation. No text to show: Greek is garbled.
    """
    plain = unicodedata.normalize("NFD", folded(text))
    return "".join(letter for letter in plain if letter.isalnum()).translate(_LOOKALIKES)
