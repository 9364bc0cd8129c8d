"""LLMRouterBench (github.com/ynulihao/LLMRouterBench): result files, or the JSON Lines of its AvengersPro adaptor.

Result files stand at `results/bench/<dataset>/<split>/<model>/<name>-<YYYYMMDD_HHMMSS>.json` and hold `dataset_name,
split, model_name, demo, records`; each record has `index, origin_query, prompt, score, prompt_tokens,
completion_tokens, cost, raw_output` (`data_collector/storage.py`). The latest file of a folder that is no demo counts.
A failed call is kept as a record: a score of None or 0, no tokens, and a `raw_output` that is empty or begins with
"Generation failed:" (`generators/generator.py`) or the like; the project's own loader makes it a 0. Where a file keeps
no outputs at all, an empty one says nothing. A cost of 0 stands for an unknown price.
The JSON Lines (`train.jsonl`: `query, dataset, index, records: {model: score}, usages: {model: {cost,
prompt_tokens, completion_tokens}}`) fill a model that was not tried with a score and a usage of 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.importers.cells import Cell, is_answer, mapping, number, optional, text, tokens
from pipeline.importers.files import files_of, json_lines, json_of, reading
from pipeline.runtime.errors import TableError

EXPECTED = "results/bench, a result file in it, or a train.jsonl"
COST_SOURCE = "measured"
_FAILED = ("Generation failed:", "Processing failed:", "Unexpected error:")
_STAMP = re.compile(r"(\d{8}_\d{6})$")


def read(path: Path) -> Iterator[Cell]:
    """The cells of all results below a folder, of one result file, or of JSON Lines.

    Raises:
        TableError: a file is malformed.
    """
    with reading(path):
        folders = sorted({file.parent for file in path.rglob("*.json")}) if path.is_dir() else []
    if not folders:
        for file in files_of(path, (".json", ".jsonl"), EXPECTED):
            yield from _lines(file) if file.suffix.lower() == ".jsonl" else _results(file, _content(file))
    for folder in folders:
        latest = sorted(folder.glob("*.json"), key=_stamp, reverse=True)
        contents = ((file, _content(file)) for file in latest)
        for file, content in contents:
            if not content.get("demo"):
                yield from _results(file, content)
                break


def _stamp(path: Path) -> tuple[str, str]:
    """What orders result files by age: the time in the name, then the name."""
    found = _STAMP.search(path.stem)
    return found.group(1) if found else "", path.name


def _content(path: Path) -> dict[str, Any]:
    content = json_of(path)
    if not isinstance(content, dict) or not isinstance(content.get("records"), list):
        raise TableError(f"{path}: no list of 'records' in it; name {EXPECTED}")
    return content


def _results(path: Path, content: dict[str, Any]) -> Iterator[Cell]:
    dataset, split, model = (
        optional(content, key, str(path)) or fallback
        for key, fallback in zip(("dataset_name", "split", "model_name"), _folders(path), strict=True)
    )
    records = [_record(record, f"{path}, record {i}") for i, record in enumerate(content["records"], start=1)]
    keeps_outputs = any(is_answer(record.get("raw_output")) for _, record in records)
    for i, (where, record) in enumerate(records, start=1):
        used_in, used_out = _usage(record, where)
        empty = keeps_outputs and used_out == 0 and not is_answer(record.get("raw_output"))
        failed = empty or str(record.get("raw_output")).startswith(_FAILED)
        prompt = optional(record, "prompt", where) or optional(record, "origin_query", where)
        index = optional(record, "index", where) or i
        yield Cell(
            where, f"{dataset}/{split}/{index}", prompt, model,
            number(record.get("score"), "score", where), dataset, "failed" if failed else "judged",
            number(record.get("cost"), "cost", where), COST_SOURCE, used_in, used_out,
        )  # fmt: skip


def _record(record: Any, where: str) -> tuple[str, dict[str, Any]]:
    if not isinstance(record, dict):
        raise TableError(f"{where}: not a JSON object; fetch the file again")
    return where, record


def _folders(path: Path) -> tuple[str, str, str]:
    """Data set, split and model by the file's place; a file elsewhere has to name them itself."""
    parts = ["", "", "", *path.resolve().parts[:-1]][-3:]
    return parts[0], parts[1], parts[2]


def _usage(entry: dict[str, Any], where: str) -> tuple[int | None, int | None]:
    return (
        tokens(entry.get("prompt_tokens"), "prompt_tokens", where),
        tokens(entry.get("completion_tokens"), "completion_tokens", where),
    )


def _lines(path: Path) -> Iterator[Cell]:
    for where, entry in json_lines(path):
        query, dataset = text(entry, "query", where), text(entry, "dataset", where)
        scores, usages = mapping(entry, "records", where), mapping(entry, "usages", where)
        if not scores:
            raise TableError(f"{where}: 'records' is missing or empty; name {EXPECTED}")
        for model, score in scores.items():
            usage = mapping(usages, model, where)
            used_in, used_out = _usage(usage, where)
            quality = number(score, f"the score of {model}", where)
            filled = quality == 0 and used_in == 0 and used_out == 0
            yield Cell(
                where, f"{dataset}/{optional(entry, 'index', where) or where}", query, model, quality, dataset,
                "failed" if filled else "judged", number(usage.get("cost"), "cost", where), COST_SOURCE,
                used_in, used_out,
            )  # fmt: skip
