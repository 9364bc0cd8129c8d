"""What a malformed source is answered with: one line that says what, where, and what to do; and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.prices import read_prices
from pipeline.importers import import_outcomes
from pipeline.runtime.errors import InputError, TableError

FIXTURES = Path(__file__).with_name("fixtures")
RESULT = "llmrouterbench/arith/test/tiny-8b/arith-test-tiny-8b-20251002_090000.json"
RUNS = "routerarena/cached_results/grand-2.jsonl"
NOTES = "alpacaeval/small-model/judge/annotations.json"


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def edited(edit: Callable[[Any], Any]) -> Callable[[str], str]:
    def change(text: str) -> str:
        content = json.loads(text)
        return json.dumps(edit(content) or content)

    return change


MALFORMED = {
    "a quality above 1": (
        "routerbench",
        "routerbench.csv",
        replaced("0.25", "2.5"),
        "line 4: the quality of vendor/small-chat is 2.5, outside 0..1",
    ),
    "a quality that is a word": (
        "routerbench",
        "routerbench.csv",
        replaced("0.25", "good"),
        "line 4: vendor/small-chat is not a number (found 'good')",
    ),
    "a row below one of two lines": (
        "routerbench",
        "routerbench.csv",
        replaced("1.0,1.0,['12 again']", "1.0,?,['12 again']"),
        "line 7: large-1106 is not a number (found '?')",
    ),
    "a negative cost": (
        "routerbench",
        "routerbench.csv",
        replaced("0.0026", "-0.0026"),
        "line 3: the cost of large-1106 is negative",
    ),
    "an infinite cost": (
        "routerbench",
        "routerbench.csv",
        replaced("0.0026", "inf"),
        "line 3: large-1106|total_cost is infinite",
    ),
    "a column gone": ("routerbench", "routerbench.csv", replaced("eval_name", "eval"), "lacks the column 'eval_name'"),
    "no model": (
        "routerbench",
        "routerbench.csv",
        lambda _: "sample_id,prompt,eval_name,m\na,b,c,1\n",
        "no columns '<model>' with '<model>|total_cost'",
    ),
    "a column twice": (
        "routerbench",
        "routerbench.csv",
        replaced("eval_name", "prompt"),
        "names the column 'prompt' twice",
    ),
    "a field too many": (
        "routerbench",
        "routerbench.csv",
        replaced("0.003,", "0.003,7,"),
        "line 5: 12 fields where the header has 11",
    ),
    "an open quote": ("routerbench", "routerbench.csv", replaced("source?']\"", "source?']"), "line 4: "),
    "an empty file": ("routerbench", "routerbench.csv", lambda _: "", "is empty"),
    "a header alone": (
        "routerbench",
        "routerbench.csv",
        lambda text: text.splitlines()[0] + "\n",
        "holds no judged outcome",
    ),
    "an empty prompt": (
        "routellm",
        "routellm/gsm8k_responses.csv",
        replaced("Ben reads 6 pages a day. How many in a week?", ""),
        "line 2: the prompt is empty",
    ),
    "no prompt column": (
        "routellm",
        "routellm/gsm8k_responses.csv",
        replaced("prompt", "question"),
        "lacks the column 'prompt'",
    ),
    "a verdict in words": (
        "routellm",
        "routellm/gsm8k_responses.csv",
        replaced("True", "yes"),
        "line 2: weak-8x7b is not a number (found 'yes')",
    ),
    "JSON cut off": ("routerdc", "routerdc/sums-train.json", lambda text: text[:150], "line 9: not JSON"),
    "no list": ("routerdc", "routerdc/sums-train.json", lambda _: '{"a": 1}', "not a list"),
    "no scores": (
        "routerdc",
        "routerdc/sums-train.json",
        replaced("scores", "score"),
        "row 1: 'scores' is missing or empty",
    ),
    "a row that is a figure": ("routerdc", "routerdc/sums-train.json", lambda _: "[1]", "row 1: not a JSON object"),
    "a question that is no text": (
        "routerdc",
        "routerdc/sums-train.json",
        edited(lambda rows: rows[1].update(question=7)),
        "row 2: 'question' is '7', not text",
    ),
    "half a character": (
        "routerdc",
        "routerdc/sums-train.json",
        edited(lambda rows: rows[1].update(question="a \ud800")),
        "row 2: a text has half a surrogate pair",
    ),
    "a name with a separator": (
        "routerdc",
        "routerdc/sums-train.json",
        edited(lambda rows: rows[1].update(scores={"a|b": 1})),
        "row 2: the candidate has the name 'a|b'",
    ),
    "a prompt that is a list": (
        "llmrouterbench",
        RESULT,
        edited(lambda content: content["records"][0].update(prompt=["a", "b"])),
        "record 1: 'prompt' is a list, not text",
    ),
    "deep nesting": ("routerdc", "routerdc/sums-train.json", lambda _: "[" * 200_000, "not JSON"),
    "a preference of 3": (
        "alpacaeval",
        NOTES,
        replaced("1.25", "3"),
        "row 1: the preference is 3, neither 0 nor in 1..2",
    ),
    "two judges": (
        "alpacaeval",
        NOTES,
        edited(lambda rows: rows[1].update(annotator="other")),
        "row 2: the annotator is 'other', before it was 'judge'",
    ),
    "two references": (
        "alpacaeval",
        NOTES,
        edited(lambda rows: rows[1].update(generator_1="other")),
        "row 2: the reference is 'other'",
    ),
    "an annotation twice": ("alpacaeval", NOTES, edited(lambda rows: [rows[0], rows[0]]), "row 2: small-model on "),
    "no records": ("llmrouterbench", RESULT, replaced('"records"', '"record"'), "no list of 'records'"),
    "half a token": (
        "llmrouterbench",
        RESULT,
        replaced('"completion_tokens": 3', '"completion_tokens": 3.5'),
        "record 1: completion_tokens is 3.5, not a whole number",
    ),
    "fewer than no tokens": (
        "llmrouterbench",
        RESULT,
        replaced('"completion_tokens": 3', '"completion_tokens": -3'),
        "record 1: a token count of tiny-8b is negative",
    ),
    "a line that is no JSON": ("routerarena", RUNS, lambda text: text + "{oops\n", "line 4: not JSON"),
    "a line without a model": (
        "routerarena",
        RUNS,
        replaced("llm_selected", "model"),
        "line 1: 'llm_selected' is missing",
    ),
    "tokens in words": (
        "routerarena",
        RUNS,
        replaced('"output_tokens": 200', '"output_tokens": "many"'),
        "line 1: output_tokens is not a number (found 'many')",
    ),
    "usage that is a list": (
        "routerarena",
        RUNS,
        replaced('{"input_tokens": 41, "output_tokens": 200, "total_tokens": 241}', "[41]"),
        "line 1: 'token_usage' is '[41]', not an object",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_gets_one_line_with_its_place(case: str, tmp_path: Path) -> None:
    name, source, change, expected = MALFORMED[case]
    changed = tmp_path / Path(source).name
    changed.write_text(change((FIXTURES / source).read_text(encoding="utf-8")), encoding="utf-8", newline="")
    with pytest.raises(TableError) as refused:
        import_outcomes(name, changed, tmp_path / "out.csv")
    message = str(refused.value)
    assert message.startswith(str(changed))
    assert expected in message, message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == [changed]


def test_one_id_with_two_texts_is_refused(tmp_path: Path) -> None:
    """Two versions of a data set, whose tenth questions are not the same question."""
    folder = tmp_path / "results"
    for model, prompt in (("a-1", "2 + 2?"), ("b-1", "2 + 3?")):
        place = folder / "arith" / "test" / model
        place.mkdir(parents=True)
        record = {"index": 1, "prompt": prompt, "score": 1.0, "raw_output": "4", "completion_tokens": 1}
        content = {"model_name": model, "dataset_name": "arith", "split": "test", "records": [record]}
        (place / f"{model}.json").write_text(json.dumps(content))
    with pytest.raises(TableError, match="'arith/test/1' has another text here than before"):
        import_outcomes("llmrouterbench", folder, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("routerbench", "nowhere.pkl", "does not exist"),
        ("routerbench", "routerdc/sums-train.json", "not .csv or .pkl"),
        ("routerdc", "routellm", "holds no .json file"),
        ("routellm", "routerdc", "holds no .csv file"),
        ("alpacaeval", "routellm", "holds no .json file"),
        ("llmrouterbench", "routellm", "holds no .json or .jsonl file"),
        ("routerarena", "routerdc", "holds no .jsonl file"),
    ],
)
def test_another_format_s_files_are_told_apart(name: str, source: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=expected):
        import_outcomes(name, FIXTURES / source, tmp_path / "out.csv")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("prompt,m\nGrüße?,True\n".encode("latin-1"))
    with pytest.raises(TableError, match="not UTF-8"):
        import_outcomes("routellm", tmp_path / "a.csv", tmp_path / "out.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch(mode=0o000)
    with pytest.raises(TableError, match="may not be read"):
        import_outcomes("routellm", tmp_path / "a.csv", tmp_path / "out.csv")


def test_an_unknown_price_is_an_error_that_names_the_candidate(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    text = (FIXTURES / "prices.yaml").read_text().replace("name: tiny-8b", "name: tiny-8B")
    prices.write_text(text)
    with pytest.raises(InputError, match="has no price of 'tiny-8b'; did you mean 'tiny-8B'"):
        import_outcomes("llmrouterbench", FIXTURES / "llmrouterbench", tmp_path / "out.csv", read_prices(prices))
    assert not (tmp_path / "out.csv").exists()


def test_the_nearest_format_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'router-bench'; did you mean 'routerbench'"):
        import_outcomes("router-bench", FIXTURES, tmp_path / "out.csv")
    with pytest.raises(InputError, match="known are routerbench, routerdc"):
        import_outcomes("xyz", FIXTURES, tmp_path / "out.csv")


def test_nothing_is_overwritten_and_an_unknown_ending_is_told_first(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists; name a file that does not"):
        import_outcomes("routerdc", FIXTURES / "routerdc", out)
    assert out.read_text() == "mine"
    with pytest.raises(TableError, match=r"unknown ending '\.xlsx'"):
        import_outcomes("routerdc", FIXTURES / "routerdc", tmp_path / "out.xlsx")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "switchtender", "import", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_verb_tells_what_came_over_and_fails_with_2(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.parquet"
    told = command("llmrouterbench", FIXTURES / "llmrouterbench", "--out", out, "--prices", FIXTURES / "prices.yaml")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == [
        f"4 outcomes, 2 prompts, 2 candidates: {out}",
        "missing  2 of 6 pairs of a prompt and a candidate have no quality",
        "absent   1 prompts have no outcome at all, and are not in the table",
        "failed   1 answers are empty or an error; left out, though the source may say 0",
        "cost     2 rows: measured",
        "cost     2 rows: tokens x prices test-1",
    ]
    again = command("llmrouterbench", FIXTURES / "llmrouterbench", "--out", out)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.count("\n") == 1
    as_json = command("routerdc", FIXTURES / "routerdc", "--out", tmp_path / "b.csv", "--json")
    assert json.loads(as_json.stdout) == {
        "format": "routerdc", "out": str(tmp_path / "b.csv"), "rows": 9, "prompts": 5,
        "candidates": ["org/one-7B", "org/two-8B"], "prompts_without_outcome": 0, "candidates_without_outcome": [],
        "missing_cells": 1, "parse_failures": 0, "repeated_cells": 0, "cost_sources": {"": 9},
    }  # fmt: skip
