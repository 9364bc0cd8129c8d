"""RouteLLM (github.com/lm-sys/RouteLLM): `routellm/evals/mmlu/responses/*.csv` and `gsm8k/gsm8k_responses.csv`.

Columns: `prompt`, a column a model that holds True or False, and for GSM8K `<model>_response`. A team's own files for
`routellm.evals.evaluate` have the same shape. There are no costs or token counts. RouteLLM leaves out the prompts of
its `contaminated_prompts.jsonl` when it evaluates; they are imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.importers.cells import Cell, is_answer, number
from pipeline.importers.files import csv_rows, files_of
from pipeline.runtime.errors import TableError

ANSWER = "_response"
EXPECTED = "a CSV file or a folder of them, such as routellm/evals/mmlu/responses"


def read(path: Path) -> Iterator[Cell]:
    """The cells of one CSV file, or of a folder's.

    Raises:
        TableError: a file is malformed, or a column is missing.
    """
    for file in files_of(path, (".csv",), EXPECTED):
        yield from _file(file)


def _file(path: Path) -> Iterator[Cell]:
    rows = csv_rows(path)
    _, header = next(rows)
    names = _candidates(header, path)
    dataset = path.stem.removesuffix("_responses")
    for i, (where, row) in enumerate(rows, start=1):
        for name in names:
            quality = number(row[name], name, where)
            failed = quality is not None and name + ANSWER in row and not is_answer(row[name + ANSWER])
            key = f"{dataset}/{i}"
            yield Cell(where, key, row["prompt"], name, quality, dataset, "failed" if failed else "judged")


def _candidates(header: Mapping[str, str], path: Path) -> list[str]:
    if "prompt" not in header:
        raise TableError(f"{path} lacks the column 'prompt'; name {EXPECTED}")
    answers = {name + ANSWER for name in header}
    names = [name for name in header if name not in ("prompt", "", "Unnamed: 0") and name not in answers]
    if not names:
        raise TableError(f"{path} has no column of a model beside 'prompt'; name {EXPECTED}")
    return names
