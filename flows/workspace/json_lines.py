"""Files of one JSON object a line that only grow: what is noted for people, and proves nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.regular_files import require_regular
from pipeline.runtime.text import parse_json

E = TypeVar("E")


def append_line(path: Path, entry: JsonObject) -> None:
    """Append an object, on disk before this returns."""
    # Half a surrogate pair, as a file's name may have it, becomes an escape of JSON.
    append_text(path, f"{json.dumps(entry, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace"))


def append_text(path: Path, line: bytes) -> None:
    """Append a line with its newline, on disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        # What a kill left of a line must not swallow the next one.
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_entries(path: Path, kind: type[E]) -> Iterator[E]:
    """The entries in order, as a dataclass whose every field is text; none where there is no file.

    A line that a full disk or a kill cut off, or that was not written here, is passed over, as is a key of a later
    release.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        require_regular(path)
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); mend that, or move it away") from error
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    # Not `splitlines`, which also ends a line at characters that JSON leaves as they are.
    for line in text.split("\n"):
        try:
            facts = parse_json(line)
            entry = {name: facts[name] for name in names & facts.keys()}
            if all(isinstance(value, str) for value in entry.values()):
                yield kind(**entry)
        except (ValueError, TypeError, AttributeError):
            continue
