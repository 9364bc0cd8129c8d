"""Taking rows out of tables (CSV, JSON Lines, Parquet) and out of lists of ids: all else keeps its bytes, or its cells.

Tables are told by the endings that `pipeline.runtime.tables.read_table` knows.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data.cells import text_of
from pipeline.runtime.errors import TableError, one_line
from pipeline.runtime.text import BOM

ID, PROMPT = "prompt_id", "prompt"
ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class RowsTakenOut:
    """A table or list without some rows; how many went, the texts that they had by prompt id, and how many are left."""

    content: bytes
    gone: int
    texts: dict[str, tuple[str, ...]]
    left: int


@dataclass(frozen=True)
class _Row:
    """A row of a table of text: its cells, and the lines it takes, from 0: the first, and the first after it."""

    cells: dict[str, Any]
    first: int
    last: int


def table_without_rows(content: bytes, ids: Collection[str], where: Path) -> RowsTakenOut:
    """A table without the rows of some prompts, by its ending.

    Raises:
        TableError: it is malformed, not UTF-8, of an unknown ending, or has no column `prompt_id`.
    """
    if where.suffix.lower() == ".parquet":
        return _without_in_parquet(content, ids, where)
    readers: dict[str, Callable[[list[str], str], Iterator[_Row]]] = {
        ".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows
    }  # fmt: skip
    if where.suffix.lower() not in readers:
        raise TableError(f"{where}: unknown ending '{where.suffix}'; use {', '.join(ENDINGS)}")
    lines = _lines(_utf8(content, where))
    rows = list(readers[where.suffix.lower()](lines, str(where)))
    return _without(lines, rows, ids)


def list_without_ids(content: bytes, ids: Collection[str], where: Path) -> RowsTakenOut:
    """A list of ids, one a line, without some of them; comments and every other byte stay.

    Raises:
        TableError: it is not UTF-8.
    """
    lines = _lines(_utf8(content, where))
    kept = [line for line in lines if line.removeprefix(BOM).strip() not in ids]
    return RowsTakenOut("".join(kept).encode(), len(lines) - len(kept), {}, len(kept))


def lines_of(content: str, where: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every row of a CSV table: the prompt's id, and all its cells; none of an empty text.

    Raises:
        TableError: the table is malformed or has no column `prompt_id`.
    """
    rows = _csv_rows(_lines(content), where) if content else ()
    return [(row.cells[ID], tuple(row.cells.values())) for row in rows]


def csv_cells(content: str, where: str) -> list[dict[str, str]]:
    """Every row of a CSV table by column name; raises as `lines_of`."""
    return [row.cells for row in _csv_rows(_lines(content), where)]


def without_last(content: str, prompt_id: str, where: str) -> str:
    """A CSV table without the last row of a prompt, every other byte as it was; raises as `lines_of`."""
    lines = _lines(content)
    found = [row for row in _csv_rows(lines, where) if row.cells[ID] == prompt_id]
    first, last = (found[-1].first, found[-1].last) if found else (0, 0)
    return "".join(lines[:first] + lines[last:])


def read_utf8(path: Path) -> str:
    """A curated file's text, byte for byte.

    Raises:
        TableError: it cannot be read, or is not UTF-8.
    """
    return _utf8(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """A curated file's bytes.

    Raises:
        TableError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}); restore it with git or dvc checkout") from error


def _utf8(content: bytes, where: Path) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"{where} is not UTF-8; save the file as UTF-8") from error


def _lines(content: str) -> list[str]:
    """Lines with their ends as they are."""
    return list(io.StringIO(content, newline=""))


def _without(lines: list[str], rows: list[_Row], ids: Collection[str]) -> RowsTakenOut:
    taken = [row for row in rows if _text(row.cells.get(ID)) in ids]
    gone = {line for row in taken for line in range(row.first, row.last)}
    content = "".join(line for number, line in enumerate(lines) if number not in gone)
    pairs = [(_text(row.cells[ID]), row.cells.get(PROMPT)) for row in taken]
    return RowsTakenOut(content.encode(), len(taken), _texts(pairs), len(rows) - len(taken))


def _texts(pairs: list[tuple[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The distinct texts of each id; of outcomes without a column `prompt` there is none."""
    found: dict[str, dict[str, None]] = {}
    for name, prompt in pairs:
        texts = found.setdefault(name, {})
        if isinstance(prompt, str):
            texts[prompt] = None
    return {name: tuple(texts) for name, texts in found.items()}


def _csv_rows(lines: list[str], where: str) -> Iterator[_Row]:
    reader = csv.reader(lines, strict=True)
    start = 0
    try:
        header = [name.removeprefix(BOM) for name in next(reader, [])]
        if ID not in header:
            raise TableError(f"{where} lacks the column '{ID}'; add it")
        start = reader.line_num
        for row in reader:
            if row and len(row) != len(header):
                raise TableError(f"{where}, line {start + 1}: {len(row)} fields where the header has {len(header)}")
            if row:
                yield _Row(dict(zip(header, row, strict=True)), start, reader.line_num)
            start = reader.line_num
    except csv.Error as error:
        raise TableError(f"{where}, line {start + 1}: {error}; mend the quoting there") from error


def _json_rows(lines: list[str], where: str) -> Iterator[_Row]:
    named = False
    for number, line in enumerate(lines):
        text = line.strip(BOM + " \t\r\n")
        if not text:
            continue
        try:
            cells = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TableError(f"{where}, line {number + 1}: not JSON ({one_line(error)}); mend that line") from error
        if not isinstance(cells, dict):
            raise TableError(f"{where}, line {number + 1}: not a JSON object; write one object a line")
        named |= ID in cells
        yield _Row(cells, number, number + 1)
    if not named:
        raise TableError(f"{where} lacks the column '{ID}'; add it")


def _without_in_parquet(content: bytes, ids: Collection[str], where: Path) -> RowsTakenOut:
    """The same columns with the same types and metadata; written anew, so that no page of the file keeps a text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        table = file.read()
        if ID not in table.column_names:
            raise TableError(f"{where} lacks the column '{ID}'; add it")
        names = [_text(value) for value in table.column(ID).to_pylist()]
        prompts = table.column(PROMPT).to_pylist() if PROMPT in table.column_names else [None] * len(names)
        taken = [name in ids for name in names]
        if not any(taken):
            return RowsTakenOut(content, 0, {}, len(names))
        out = io.BytesIO()
        codec = file.metadata.row_group(0).column(0).compression.lower()
        kept = _with_used_values(table.filter(pa.array([not gone for gone in taken])))
        pq.write_table(kept, out, compression="none" if codec == "uncompressed" else codec)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{where} is not a Parquet file ({one_line(error)}); export it again") from error
    pairs = [(name, prompt) for name, prompt, gone in zip(names, prompts, taken, strict=True) if gone]
    return RowsTakenOut(out.getvalue(), len(pairs), _texts(pairs), len(names) - len(pairs))


def _with_used_values(table: Any) -> Any:
    """The table with only those values in its columns of categories that a row still has."""
    import pyarrow as pa

    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            used = table.column(number).cast(field.type.value_type).combine_chunks().dictionary_encode()
            indices = used.indices.cast(field.type.index_type)
            column = pa.DictionaryArray.from_arrays(indices, used.dictionary, ordered=field.type.ordered)
            table = table.set_column(number, field, column)
    return table


def _text(value: Any) -> str:
    """An id as the tables' reader writes it; of what is no text, nothing."""
    try:
        return text_of(value)
    except ValueError:
        return ""
