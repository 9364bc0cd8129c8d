"""Reading a source's files; whatever is wrong with one is a line that names the file and the row."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import csv_records, reachable


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the file system and the decoder raise into a TableError."""
    try:
        with reachable(path):
            yield
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8; save it as UTF-8") from error


def files_of(path: Path, endings: tuple[str, ...], what: str) -> list[Path]:
    """The file itself, or a folder's files of these endings in order of name.

    Raises:
        TableError: nothing there, or another ending; `what` says what is expected.
    """
    with reading(path):
        path.stat()
        if not path.is_dir():
            if path.suffix.lower() not in endings:
                raise TableError(f"{path}: not {' or '.join(endings)}; name {what}")
            return [path]
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in endings and file.is_file())
    if not found:
        raise TableError(f"{path} holds no {' or '.join(endings)} file; name {what}")
    return found


def json_of(path: Path) -> Any:
    """A JSON file's content.

    Raises:
        TableError: it cannot be read, or is not JSON.
    """
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
    return _parsed(text, str(path))


def json_list(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON list, each with where it stands.

    Raises:
        TableError: the file is not a list of objects; `what` says what each one is.
    """
    content = json_of(path)
    if not isinstance(content, list):
        raise TableError(f"{path}: not a list; it should hold a list of {what}")
    for number, entry in enumerate(content, start=1):
        yield _object(entry, f"{path}, row {number}")


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with where it stands.

    Raises:
        TableError: the file cannot be read, or a line is not a JSON object.
    """
    with reading(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _object(_parsed(line, f"{path}, line {number}"), f"{path}, line {number}")


def csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The rows of a CSV file with a header, each with where it began; the first item is the header's own names.

    Raises:
        TableError: the file cannot be read, a name stands twice, or a row has another number of fields.
    """
    with reading(path):
        records = csv_records(path)
        line, header = next(records)
        yield f"{path}, line {line}", dict(zip(header, header, strict=True))
        for line, row in records:
            yield f"{path}, line {line}", dict(zip(header, row, strict=True))


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f", line {error.lineno}" if "\n" in text.strip() else ""
        raise TableError(f"{where}{place}: not JSON ({error.msg}); fetch or export the file again") from error
    except (ValueError, RecursionError) as error:
        raise TableError(f"{where}: not JSON that can be read ({str(error)[:80]}); export it again") from error


def _object(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, dict):
        raise TableError(f"{where}: not a JSON object; mend or remove that row")
    return where, entry
