"""Reading a CSV file row by row, a file of another kind told by what it is; and adding rows to one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.runtime.errors import TableError
from pipeline.runtime.text import BOM

# The library's own limit is 128 KiB; prompts with pasted documents are longer.
csv.field_size_limit(16 * 1024 * 1024)

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def csv_records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The header of a CSV file, then its rows, each with the line on which it began; blank lines are passed over.

    Raises:
        TableError: it is empty, separated by something else than commas, names a column twice, a row has another number
            of fields, or the quoting is broken.
        OSError, UnicodeDecodeError: the file cannot be opened, or is not UTF-8.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        # A quoted field may span lines: a row begins on the line after the one before it ended.
        line = 1
        try:
            header = next(reader, None)
            if header is None:
                raise TableError(f"{path} is empty; it needs a header and at least one row")
            _require_header(header, path)
            yield line, header
            line = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise TableError(f"{path}, line {line}: {_width(row, header)}")
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise TableError(f"{path}, line {line}: {error}; mend the quoting there") from error


def _require_header(header: Sequence[str], path: Path) -> None:
    if header and header[0].casefold().startswith("sep="):
        raise TableError(f"{path}, line 1: '{','.join(header)}' is a hint for Excel, not the header; remove that line")
    for mark, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and mark in header[0]:
            raise TableError(f"{path}: its fields are separated by {name}; export it again, separated by commas")
    if header[-1:] == [""] and header.count("") > 1:
        raise TableError(f"{path}: its lines end with commas, so that columns have no name; remove those commas")
    if twice := [name for name in header if header.count(name) > 1]:
        raise TableError(f"{path} names the column '{twice[0]}' twice; rename one")


def _width(row: Sequence[str], header: Sequence[str]) -> str:
    """Why a row is of another width than the header."""
    found = f"{len(row)} fields where the header has {len(header)}"
    if len(row) > len(header) and not any(row[len(header) :]):
        return f"{found}, since it ends with a comma; remove that comma"
    return f"{found}; quote commas"


def with_rows(text: str, rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> str:
    """A CSV file's text with more rows at its end, in the order of its own header; what stands in it stays as it is.

    `columns` are the header of an empty text. A column that a row lacks is left empty.
    """
    text = text or ",".join(columns) + "\n"
    header = next(csv.reader(io.StringIO(text.removeprefix(BOM), newline="")))
    out = io.StringIO(newline="")
    for row in rows:
        cells = [row.get(name, "") for name in header]
        # A bare carriage return is quoted by no rule of csv's, and would end the row.
        if any("\r" in cell for cell in cells):
            csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
        else:
            csv.writer(out, lineterminator="\n").writerow(cells)
    return f"{text}{'' if text.endswith(chr(10)) else chr(10)}{out.getvalue()}"
