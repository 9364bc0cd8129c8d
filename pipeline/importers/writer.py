"""The outcome table that an import writes, row by row: Parquet, CSV or JSON Lines, by file ending."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import write_whole

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
