"""RouterArena (github.com/RouteWorks/RouterArena): `cached_results/*.jsonl`, or a router's predictions, with prices.

`cached_results/<model>.jsonl` has a line a query: `global_index, question, llm_selected, generated_answer, success,
error, token_usage: {input_tokens, output_tokens}, run_number, evaluation_result: {score, inference_cost}`;
`router_inference/predictions/<router>.json` is a list of `global index, prompt, prediction, generated_result: {...},
accuracy, cost`. A result that has no score yet is not judged, hence missing. Of several runs the first counts.
The costs that stand there are not read: they are 0 for a model whose price was not found, and the price is looked up by
parts of names. They are made anew, exactly, from the tokens and the price list `model_cost/model_cost.json`
(earlier `cost.json`), which is looked for beside the results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.data.prices import Prices, read_prices
from pipeline.importers.cells import Cell, Verdict, is_answer, mapping, number, text, tokens
from pipeline.importers.files import files_of, json_lines, json_list

EXPECTED = "cached_results, a .jsonl file in it, or a router's predictions.json"
LISTS = ("model_cost/model_cost.json", "model_cost/cost.json")


def read(path: Path) -> Iterator[Cell]:
    """The cells of a folder of cached results, of one such file, or of one file of predictions.

    Raises:
        TableError: a file is malformed.
    """
    cached = path / "cached_results"
    path = cached if cached.is_dir() else path
    for file in files_of(path, (".jsonl",) if path.is_dir() else (".jsonl", ".json"), EXPECTED):
        yield from _first_runs(_cached(file) if file.suffix.lower() == ".jsonl" else _predicted(file))


def own_prices(path: Path) -> Prices | None:
    """The price list in RouterArena's folder around the results; None where there is none.

    Raises:
        InputError: it is malformed.
    """
    place = path.resolve()
    for folder in (place, *place.parents[:3]):
        for name in LISTS:
            if (folder / name).is_file():
                return read_prices(folder / name)
    return None


def _first_runs(cells: Iterator[tuple[int, Cell]]) -> Iterator[Cell]:
    """Of the runs of a pair, the first; those after it are marked."""
    numbered = sorted(cells, key=lambda item: item[0])
    seen: set[tuple[str, str]] = set()
    for _, cell in numbered:
        key = (cell.prompt_id, cell.candidate)
        yield replace(cell, verdict="repeated") if key in seen else cell
        seen.add(key)


def _cached(path: Path) -> Iterator[tuple[int, Cell]]:
    for where, entry in json_lines(path):
        score = mapping(entry, "evaluation_result", where).get("score")
        key, prompt, model = (text(entry, name, where) for name in ("global_index", "question", "llm_selected"))
        run = tokens(entry.get("run_number"), "run_number", where)
        yield run or 1, _cell(where, key, prompt, model, score, entry)


def _predicted(path: Path) -> Iterator[tuple[int, Cell]]:
    for where, entry in json_list(path, "predictions"):
        key = text(entry, "global index" if "global index" in entry else "global_index", where)
        prompt, model = text(entry, "prompt", where), text(entry, "prediction", where)
        result = mapping(entry, "generated_result", where)
        yield 1, _cell(where, key, prompt, model, entry.get("accuracy"), result)


def _cell(where: str, key: str, prompt: str, model: str, score: object, result: dict[str, Any]) -> Cell:
    usage = mapping(result, "token_usage", where)
    answered = bool(result.get("success")) and not result.get("error") and is_answer(result.get("generated_answer"))
    verdict: Verdict = "judged" if answered or not result else "failed"
    return Cell(
        where, key, prompt, model, number(score, "score", where), key.rsplit("_", 1)[0], verdict,
        tokens_in=tokens(usage.get("input_tokens"), "input_tokens", where),
        tokens_out=tokens(usage.get("output_tokens"), "output_tokens", where),
    )  # fmt: skip
