"""Texts of rows in what the service wrote down: they are overwritten in place, and each entry stays.

In place, and as long as before: a service that runs goes on appending to the same file.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import write_whole
from pipeline.versions.row_search import RowMatcher, unpacked

_STRING = re.compile(rb'"((?:[^"\\\r\n]|\\.)*)')
"""A string of JSON, up to the end of the line where a crash left half a one."""
_PACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.compress,
    b"BZh": bz2.compress,
    b"\xfd7zXZ": lzma.compress,
}


def blanked(content: bytes, rows: RowMatcher) -> bytes:
    """JSON Lines in which each string that holds a text of the rows is made of asterisks; as long as before."""

    def blank(found: re.Match[bytes]) -> bytes:
        return b'"' + b"*" * len(found[1]) if _holds(found[1], rows) else found[0]

    return b"".join(
        _STRING.sub(blank, line) if rows.are_written_in(line) else line for line in content.splitlines(keepends=True)
    )


def _holds(inner: bytes, rows: RowMatcher) -> bool:
    try:
        return rows.are_written_in(inner) or rows.are_written_in(str(json.loads(b'"' + inner + b'"')).encode())
    except (ValueError, UnicodeEncodeError):
        return False


def blank_rows(path: Path, rows: RowMatcher) -> bool:
    """Blank the texts in a journal, packed or plain; False where something is left that it cannot.

    Raises:
        SwitchtenderError: the file cannot be read or written; another try goes on.
    """
    try:
        content = path.read_bytes()
        before = unpacked(content)[-1]
        pack = next((pack for mark, pack in _PACK.items() if content.startswith(mark)), None)
        if pack is None and before is not content:
            return False
        after = blanked(before, rows)
        if pack is None:
            _overwrite(path, before, after)
        else:
            _write_anew(path, pack(after))
    except OSError as error:
        raise SwitchtenderError(
            f"{path} cannot be changed ({error.strerror}); make it writable, then run this again"
        ) from error
    return not rows.are_written_in(after)


def _write_anew(path: Path, content: bytes) -> None:
    def write(to: Path) -> None:
        to.write_bytes(content)
        to.chmod(path.stat().st_mode)

    write_whole(path, write)


def _overwrite(path: Path, before: bytes, after: bytes) -> None:
    """Write the lines that differ where they are: what is appended meanwhile stays."""
    place = 0
    with path.open("r+b") as file:
        for old, new in zip(before.splitlines(keepends=True), after.splitlines(keepends=True), strict=True):
            if old != new:
                file.seek(place)
                file.write(new)
            place += len(old)
