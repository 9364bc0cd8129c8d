"""RouterDC (github.com/shuhao02/RouterDC): folders of JSON such as `datasets/split2_model7`.

Each file is a list of `{"question": ..., "scores": {<model>: score}}`, in the `_cluster` folders with a `cluster_id`,
which is not read. As `convert_dataset_7_model.ipynb` there makes them, a score is one of two things, and a file is all
of one kind: the share of samples that were right (GSM8K, HumanEval, MBPP, JavaScript, MATH), or for multiple choice the
probability of the right answer where that was the likeliest, else 0. The second kind is read as right (1) or wrong (0),
as the authors judge it. Told apart by the figures: shares of one file are all multiples of 1/k with k up to 100.
There are no costs, token counts or marks of failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.importers.cells import Cell, mapping, number, text
from pipeline.importers.files import files_of, json_list
from pipeline.runtime.errors import TableError

EXPECTED = "a folder of RouterDC's JSON files, such as datasets/split2_model7"
_SPLIT = re.compile(r"[-_](train|test)$")


def read(path: Path) -> Iterator[Cell]:
    """The cells of a folder's files, or of one file.

    Raises:
        TableError: a file is malformed.
    """
    for file in files_of(path, (".json",), EXPECTED):
        yield from _file(file)


def _file(path: Path) -> Iterator[Cell]:
    rows = [(where, text(entry, "question", where), _scores(entry, where)) for where, entry in json_list(path, "rows")]
    found = [score for _, _, scores in rows for score in scores.values() if score is not None]
    probabilities = _are_probabilities(found)
    dataset = _SPLIT.sub("", path.stem)
    for i, (where, question, scores) in enumerate(rows, start=1):
        for name, score in scores.items():
            right = float(score > 0) if probabilities and score is not None and 0 <= score <= 1 else score
            yield Cell(where, f"{path.stem}/{i}", question, name, right, dataset)


def _scores(entry: dict[str, object], where: str) -> dict[str, float | None]:
    if not (scores := mapping(entry, "scores", where)):
        raise TableError(f"{where}: 'scores' is missing or empty; name {EXPECTED}")
    return {name: number(score, f"the score of {name}", where) for name, score in scores.items()}


def _are_probabilities(scores: list[float]) -> bool:
    """Whether no k up to 100 makes every score a multiple of 1/k."""
    distinct = set(scores)
    return not any(all(abs(s * k - round(s * k)) < 1e-6 for s in distinct) for k in range(1, 101))
