"""An append-only log of JSON lines in which each line names the sha256 of the one before.

Editing, removing or reordering a line breaks the chain at that place. A cut tail does not: whoever keeps such a
log keeps its head (length and last digest) elsewhere too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import rfc8785

from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.text import parse_json

START = "0" * 64


@dataclass(frozen=True)
class Head:
    """How long a chain is, and the sha256 of its last line (START for an empty one)."""

    length: int
    sha256: str


def chained(text: str, entry: JsonObject) -> str:
    """The log's text with one more entry, which is given `sequence` (from 1) and `previous`."""
    head = head_of(text)
    line = rfc8785.dumps({**entry, "sequence": head.length + 1, "previous": head.sha256}).decode("utf-8")
    return f"{text}{line}\n"


def head_of(text: str) -> Head:
    """Length and last digest of a log's text."""
    return beginning(text, len(text))


def beginning(text: str, length: int) -> Head:
    """The head that a log's text had when it was so long; its present one where it is shorter."""
    lines = _lines(text)[:length]
    return Head(len(lines), sha256_text(lines[-1]) if lines else START)


def whole_lines(text: str) -> str:
    """A log's text without a last line that lacks its end: such a line was never written whole."""
    return text[: text.rfind("\n") + 1]


def _lines(text: str) -> list[str]:
    """Lines end with a newline and nothing else: a reason may hold other characters that Python would split at."""
    return text.removesuffix("\n").split("\n") if text else []


def entries(text: str, where: str) -> list[JsonObject]:
    """Every entry, oldest first.

    Raises:
        VerificationFailed: the chain is broken; names the log and the line.
    """
    found, before = [], START
    for number, line in enumerate(_lines(text), start=1):
        try:
            entry: JsonObject = parse_json(line)
            sound = entry["sequence"] == number and entry["previous"] == before
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise VerificationFailed(
                f"{where}, line {number} does not follow {before[:12]} (edited, removed or reordered); "
                "see 'switchtender verify --all'"
            )
        found.append(entry)
        before = sha256_text(line)
    return found


def read_log(path: Path) -> str:
    """A log's text; empty where it was never written.

    Raises:
        VerificationFailed: it is there and cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise VerificationFailed(f"{path} cannot be read ({error}); restore it") from error
