"""Files of one JSON object a line that only grow: what is noted for people, and proves nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.runtime.plain import JsonObject
from pipeline.runtime.text import parse_json


def append_line(path: Path, entry: JsonObject) -> None:
    """Append an object, on disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode()
    with path.open("ab+") as file:
        # What a kill left of a line must not swallow the next one.
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in order; a line that a full disk or a kill cut off is passed over."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            entry = parse_json(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
