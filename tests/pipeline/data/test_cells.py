"""A cell says the same in every kind of file, and what it does not say is refused with its row."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.cells import figure_of, names_in, text_of
from pipeline.data.outcomes import read_outcomes
from pipeline.runtime.errors import TableError


@pytest.mark.parametrize(
    ("value", "text"),
    [("a ", "a "), (None, ""), (math.nan, ""), (7, "7"), (np.int64(7), "7"), (1.0, "1.0"), (np.float32(0.1), "0.1"),
     (True, "True"), (np.True_, "True"), (Decimal("1.50"), "1.50")],
)  # fmt: skip
def test_a_text_is_what_a_csv_file_would_hold(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("value", "figure"),
    [("0.5", 0.5), (" 1 ", 1.0), (True, 1.0), ("False", 0.0), ("TRUE", 1.0), (np.False_, 0.0), (Decimal("0.25"), 0.25),
     (3, 3.0), ("", None), ("NaN", None), (None, None), (math.nan, None)],
)  # fmt: skip
def test_a_figure_is_the_same_as_text_and_as_number(value: Any, figure: float | None) -> None:
    assert figure_of(value) == figure


ENDLESS = (math.inf, -math.inf, "inf", "-Infinity", "1e400", 10**400, 1e39, np.float64("inf"))


@pytest.mark.parametrize("value", ENDLESS, ids=str)
def test_what_has_no_end_is_no_figure(value: Any) -> None:
    with pytest.raises(ValueError, match="is infinite"):
        figure_of(value)


@pytest.mark.parametrize("value", ["good", "1_000", "0x10", "1,5", [1], {"a": 1}, b"1", pd.Timestamp(0), 1j], ids=repr)
def test_what_is_no_number_is_no_figure(value: Any) -> None:
    with pytest.raises(ValueError, match="a number"):
        figure_of(value)


@pytest.mark.parametrize(
    "value", ["a|b", " a | b ", ["a", "b"], ("a", " b "), np.array(["a", "b"]), "['a', 'b']", '["a", "b"]', '["a","b"]']
)
def test_names_are_read_from_a_list_as_from_a_cell(value: Any) -> None:
    assert names_in(value) == ("a", "b")


@pytest.mark.parametrize("value", ["", "  ", None, [], "[]", np.array([])], ids=repr)
def test_an_empty_cell_or_list_names_nobody(value: Any) -> None:
    assert names_in(value) == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a|", "leading or trailing separator"),
        ("a||b", "doubled separator"),
        (["a", ""], "empty name"),
        (["a", None], "empty name"),
        ([["a"]], "is a list, not text"),
        ({"a": 1}, "is a mapping, not text"),
        (["a|b"], "with '|'"),
        ("a\nb", "control character"),
        ("[a, b]", "cannot be read as one"),
        ("['a' 'b']", "cannot be read as one"),
        (b"a", "of type bytes, not text"),
        (math.inf, "is infinite, not text"),
        ("a\ud83d", "half a surrogate pair"),
    ],
)
def test_what_lists_no_names_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        names_in(value)


ROWS: tuple[dict[str, Any], ...] = (
    {"prompt_id": 1, "prompt": "one", "agents": ["coding", "7"], "dataset": 5},
    {"prompt_id": 7, "prompt": "two", "agents": ["coding"], "dataset": None},
)
GRADED: tuple[dict[str, Any], ...] = (
    {"prompt_id": 1, "prompt": "one", "candidate": 7, "quality": True, "cost": 0.1},
    {"prompt_id": 7, "prompt": "two", "candidate": 7, "quality": False, "cost": None},
)


@pytest.mark.parametrize("rows", [ROWS, GRADED], ids=["labels", "graded"])
def test_one_table_says_the_same_as_csv_parquet_and_json_lines(
    rows: tuple[dict[str, Any], ...], tmp_path: Path
) -> None:
    frame = pd.DataFrame(rows).astype({"dataset": "Int64"} if "dataset" in rows[0] else {})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    first, *others = (read_outcomes(tmp_path / f"t.{ending}") for ending in ("csv", "parquet", "jsonl"))
    assert first.prompt_ids == ("1", "7")
    assert first.candidates == (("7", "coding") if "agents" in rows[0] else ("7",))
    assert first.datasets in (("5", ""), None)
    for other in others:
        assert (other.prompt_ids, other.prompts, other.candidates, other.datasets) == (
            first.prompt_ids, first.prompts, first.candidates, first.datasets
        )  # fmt: skip
        np.testing.assert_array_equal(other.quality, first.quality)
        np.testing.assert_array_equal(other.cost, first.cost)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_id": ["p"]}, "line 2: prompt_id is a list, not text"),
        ({"candidate": {"name": "m"}}, "line 2: candidate is a mapping, not text"),
        ({"dataset": ["d"]}, "line 2: dataset is a list, not text"),
        ({"quality": [1]}, "line 2: quality is a list, not a number"),
        ({"cost": math.inf}, "line 2: cost is infinite"),
        ({"fold": math.inf}, "line 2: fold is infinite"),
        ({"candidate": "a|b"}, "line 2: candidate has the name 'a|b'"),
        ({"candidate": " "}, "line 2: candidate is empty"),
        ({"candidate": "\u200b"}, "line 2: candidate has an empty name"),
        ({"prompt": "\u200b\ufeff"}, "line 2: prompt is empty"),
        ({"prompt_id": "\u2060"}, "line 2: prompt_id is empty"),
    ],
)
def test_a_cell_that_holds_something_else_is_told_by_its_row(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    sound = {"prompt_id": "p", "prompt": "one", "candidate": "m", "quality": 1, "cost": 0, "dataset": "", "fold": 0}
    rows = sound, {**sound, "prompt_id": "q", **change}
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(TableError) as refused:
        read_outcomes(tmp_path / "t.jsonl")
    assert message in str(refused.value)
