"""RouterBench (github.com/withmartian/routerbench): a wide table, a row a prompt, as CSV or as a pickled frame.

Columns, as `convertors/common.py` there makes them and `routerbench_0shot.pkl`, `routerbench_5shot.pkl` hold them:
`sample_id`, `prompt` (a printed list of turns), `eval_name`, for each model `<model>` (performance 0..1),
`<model>|model_response` and `<model>|total_cost` (USD), and `oracle_model_to_route_to`, which is not read. The costs
are the authors' own: tokens counted after the event, times list prices. `convert_data.py` there writes 0 for a
performance that is missing; such a cell has no response. It also keeps the first row of a repeated `sample_id`.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.importers.cells import Cell, Verdict, is_answer, number, optional
from pipeline.importers.files import csv_rows, files_of
from pipeline.importers.safe_pickle import read_pickled_frame
from pipeline.runtime.errors import TableError

ANSWER, COST = "|model_response", "|total_cost"
PICKLES = (".pkl", ".pickle")
EXPECTED = "a wide table such as routerbench_0shot.pkl"
COST_SOURCE = "list price (RouterBench)"
Rows = Iterator[tuple[str, Mapping[str, object]]]


def read(path: Path) -> Iterator[Cell]:
    """The cells of a wide table, or of a folder of them.

    Raises:
        TableError: a file is malformed, or a column is missing.
    """
    for file in files_of(path, (".csv", *PICKLES), EXPECTED):
        yield from _table(file)


def _table(path: Path) -> Iterator[Cell]:
    rows: Rows = _pickled(path) if path.suffix.lower() in PICKLES else csv_rows(path)
    _, header = next(rows)
    names = _candidates(header, path)
    seen: set[str] = set()
    for where, row in rows:
        sample, dataset = optional(row, "sample_id", where), optional(row, "eval_name", where)
        prompt = _turns(row["prompt"]) or optional(row, "prompt", where)
        for name in names:
            quality, cost = number(row[name], name, where), number(row.get(name + COST), name + COST, where)
            failed = quality is not None and name + ANSWER in header and not is_answer(row[name + ANSWER])
            verdict: Verdict = "repeated" if sample in seen else "failed" if failed else "judged"
            yield Cell(where, sample, prompt, name, quality, dataset, verdict, cost, COST_SOURCE)
        seen.add(sample)


def _candidates(header: Mapping[str, object], path: Path) -> list[str]:
    if "model_name" in header:
        raise TableError(f"{path} is the long raw table; name {EXPECTED}")
    for column in ("sample_id", "prompt", "eval_name"):
        if column not in header:
            raise TableError(f"{path} lacks the column '{column}'; name {EXPECTED}")
    names = [name for name in header if name + ANSWER in header or name + COST in header]
    if not names:
        raise TableError(f"{path} has no columns '<model>' with '<model>{COST}'; name {EXPECTED}")
    return names


def _pickled(path: Path) -> Rows:
    columns = read_pickled_frame(path)
    yield str(path), dict.fromkeys(columns)
    for i, row in enumerate(zip(*columns.values(), strict=True), start=1):
        yield f"{path}, row {i}", dict(zip(columns, row, strict=True))


def _turns(prompt: object) -> str:
    """The text of a list of turns, or of a printed one, an empty line between them; "" for anything else."""
    turns = prompt
    if isinstance(prompt, str) and prompt.startswith("[") and prompt.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            turns = ast.literal_eval(prompt)
    texts = [turn for turn in turns if isinstance(turn, str)] if isinstance(turns, list) else []
    return "\n\n".join(texts) if isinstance(turns, list) and len(texts) == len(turns) else ""
