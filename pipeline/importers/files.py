"""Reading a source's files; whatever is wrong with one is a line that names the file and the row."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.runtime.csv_rows import csv_records
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import reachable, write_whole


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


BATCH = 20_000
"""So many rows are held in memory at once."""


class OutcomeRow(NamedTuple):
    """One outcome; `None` and "" stand for unknown. The names of the fields are the columns."""

    prompt_id: str
    prompt: str
    candidate: str
    quality: float
    cost: float | None
    cost_source: str
    tokens_in: int | None
    tokens_out: int | None
    dataset: str


Rows = Iterator[OutcomeRow]


def writer_for(path: Path) -> Callable[[Rows, Path], None]:
    """How a file of this ending is written.

    Raises:
        TableError: unknown ending.
    """
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
    if path.suffix.lower() not in writers:
        raise TableError(f"{path}: unknown ending '{path.suffix}'; use .csv, .parquet or .jsonl")
    return writers[path.suffix.lower()]


def write_rows(rows: Rows, path: Path) -> None:
    """Write rows as they come, whole or not at all; the folder is made.

    Raises:
        TableError: unknown ending, no row, or the place cannot be written.
    """
    write = writer_for(path)
    write_whole(path, lambda to: write(rows, to))


def _batches(rows: Rows) -> Iterator[list[OutcomeRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _write_parquet(rows: Rows, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {
        "quality": pa.float64(), "cost": pa.float64(), "tokens_in": pa.int64(), "tokens_out": pa.int64()
    }  # fmt: skip
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in OutcomeRow._fields])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for batch in _batches(rows):
            columns = [pa.array(column, schema.field(i).type) for i, column in enumerate(zip(*batch, strict=True))]
            file.write_table(pa.table(columns, schema=schema))


def _write_csv(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        # Every text is quoted: csv would leave a bare carriage return unquoted.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(OutcomeRow._fields)
        for batch in _batches(rows):
            writer.writerows(batch)


def _write_jsonl(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for batch in _batches(rows):
            file.writelines(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in batch)
