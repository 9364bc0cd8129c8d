"""Two table shapes become one form; whatever is wrong in a row is told with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.outcomes import Outcomes, label_matrix, read_outcomes, read_prompts, split_agents
from pipeline.runtime.errors import TableError, listed
from pipeline.runtime.tables import write_table

NAMES = ("coding", "email", "sql")
LABELS = "prompt_id,prompt,agents\np1,fix it,coding\np2,write and query,sql|email\np3,hm,\n"
GRADED = (
    "prompt_id,prompt,candidate,quality,cost\n"
    "p1,first,big,0.9,0.02\np1,first,small,0.25,\np2,second,small,1,0.001\n"
)  # fmt: skip


def put(tmp_path: Path, text: str, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_become_qualities_of_one_and_zero_in_the_order_of_the_agents(tmp_path: Path) -> None:
    outcomes = read_outcomes(put(tmp_path, LABELS), NAMES, {"email": 0.002})
    assert outcomes.prompt_ids == ("p1", "p2", "p3")
    assert outcomes.prompts == ("fix it", "write and query", "hm")
    assert outcomes.candidates == NAMES
    assert outcomes.quality.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert outcomes.quality.dtype == outcomes.cost.dtype == np.float32
    np.testing.assert_allclose(outcomes.cost, np.tile([np.nan, 0.002, np.nan], (3, 1)), rtol=1e-6)
    assert outcomes.is_labels
    assert outcomes.folds is None


def test_without_a_list_of_agents_those_found_are_taken_in_alphabetical_order(tmp_path: Path) -> None:
    assert read_outcomes(put(tmp_path, LABELS)).candidates == ("coding", "email", "sql")


def test_graded_outcomes_leave_a_pair_that_was_not_tried_missing(tmp_path: Path) -> None:
    outcomes = read_outcomes(put(tmp_path, GRADED))
    assert outcomes.candidates == ("big", "small")
    assert not outcomes.is_labels
    np.testing.assert_allclose(outcomes.quality, [[0.9, 0.25], [np.nan, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(outcomes.cost, [[0.02, np.nan], [np.nan, 0.001]], rtol=1e-6)
    assert np.isnan(read_outcomes(put(tmp_path, GRADED.replace(",cost", ",note"))).cost).all()


def test_a_cost_of_nothing_is_unknown_like_an_empty_one(tmp_path: Path) -> None:
    for cost in ("0", "0.0", "", "-0"):
        path = tmp_path / "t.csv"
        path.write_text(f"prompt_id,prompt,candidate,quality,cost\np1,hi,a,1,{cost}\np1,hi,b,1,0.5\n")
        np.testing.assert_array_equal(read_outcomes(path).cost, [[np.nan, 0.5]])


def test_a_named_candidate_that_nobody_tried_is_a_column_of_missing_cells(tmp_path: Path) -> None:
    outcomes = read_outcomes(put(tmp_path, GRADED), ("tiny", "small", "big"))
    assert np.isnan(outcomes.quality[:, 0]).all()
    assert outcomes.quality[1].tolist()[1] == 1.0


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_every_file_format_gives_the_same_outcomes(ending: str, tmp_path: Path) -> None:
    for name, text in {"labels": LABELS, "graded": GRADED}.items():
        expected = read_outcomes(put(tmp_path, text, f"{name}.csv"))
        frame = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=name == "graded")
        write_table(frame, tmp_path / f"again.{ending}")
        found = read_outcomes(tmp_path / f"again.{ending}")
        assert (found.prompt_ids, found.prompts, found.candidates, found.is_labels) == (
            expected.prompt_ids, expected.prompts, expected.candidates, expected.is_labels
        )  # fmt: skip
        np.testing.assert_array_equal(found.quality, expected.quality)
        np.testing.assert_array_equal(found.cost, expected.cost)


def test_columns_of_categories_are_read_as_text(tmp_path: Path) -> None:
    for name, text in {"labels": LABELS, "graded": GRADED}.items():
        expected = read_outcomes(put(tmp_path, text, f"{name}.csv"))
        frame = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=name == "graded")
        words = frame.select_dtypes(exclude="number").columns
        write_table(frame.astype(dict.fromkeys(words, "category")), tmp_path / "rows.parquet")
        assert read_outcomes(tmp_path / "rows.parquet").quality.tolist()[0] == expected.quality.tolist()[0]


def with_folds(text: str, folds: list[str]) -> str:
    head, *rows = text.splitlines()
    return "\n".join([f"{head},fold", *(f"{row},{fold}" for row, fold in zip(rows, folds, strict=True))]) + "\n"


def test_a_fold_is_a_whole_number_from_0_on(tmp_path: Path) -> None:
    for fold in ("-1", "0.5"):
        with pytest.raises(TableError, match="fold"):
            read_outcomes(put(tmp_path, with_folds(LABELS, [fold, "0", "1"])), NAMES)


def test_the_fold_column_belongs_to_the_prompt(tmp_path: Path) -> None:
    labels = read_outcomes(put(tmp_path, with_folds(LABELS, ["2", "0", "1"])), NAMES)
    graded = read_outcomes(put(tmp_path, with_folds(GRADED, ["4", "4", "3"])))
    assert labels.folds is not None
    assert graded.folds is not None
    assert (labels.folds.tolist(), graded.folds.tolist()) == ([2, 0, 1], [4, 3])
    picked = labels.rows(np.array([2, 0]))
    assert picked.folds is not None
    assert (picked.folds.tolist(), picked.prompt_ids, picked.quality.tolist()) == (
        [1, 2], ("p3", "p1"), [[0, 0, 0], [1, 0, 0]]
    )  # fmt: skip


BAD_ROWS: list[tuple[str, str, str]] = [
    ("duplicate_id", LABELS + "p2,again,sql\n", "line 5: prompt_id 'p2' has another text in line 3; give each"),
    ("repeated_agent", LABELS + "p4,twice,sql|sql\n", "line 5: an agent is named twice in 'sql|sql'"),
    (
        "unknown_agent",
        LABELS + "p4,who,juggling|sql\n",
        "line 5: unknown agent 'juggling'; known are coding, email, sql",
    ),
    ("empty_agent", LABELS + "p4,who,sql||email\n", "line 5: agents is 'sql||email', with a doubled separator"),
    ("empty_prompt", LABELS + 'p4,"  ",sql\n', "line 5: prompt is empty"),
    ("empty_id", LABELS + ",who,sql\n", "line 5: prompt_id is empty"),
    ("fold_of_words", with_folds(LABELS, ["0", "one", "1"]), "line 3: fold is not a number"),
    ("broken_fold", with_folds(LABELS, ["0", "1", "1.5"]), "line 4: fold is not a whole number"),
    ("no_fold", with_folds(LABELS, ["", "1", "1"]), "line 2: fold is not a whole number"),
    ("too_good", GRADED + "p3,third,big,1.01,0\n", "line 5: quality is outside 0..1"),
    ("too_bad", GRADED + "p3,third,big,-0.5,0\n", "line 5: quality is outside 0..1"),
    ("quality_in_words", GRADED + "p3,third,big,good,0\n", "line 5: quality is not a number"),
    ("quality_not_a_number", GRADED + "p3,third,big,nan,0\n", "line 5: quality is empty"),
    ("no_quality", GRADED + "p3,third,big,,0\n", "line 5: quality is empty"),
    ("negative_cost", GRADED + "p3,third,big,1,-0.1\n", "line 5: cost is below 0"),
    ("pair_twice", GRADED + "p1,first,big,0.1,0\n", "line 5: this prompt_id and candidate stand twice"),
    ("two_texts", GRADED + "p1,other,tiny,0.1,0\n", "line 5: prompt_id 'p1' has another text in line 2"),
    ("no_candidate", GRADED + "p3,third,,0.1,0\n", "line 5: candidate is empty"),
    ("graded_empty_prompt", GRADED + "p3,,big,0.1,0\n", "line 5: prompt is empty"),
    (
        "after_a_multi_line_prompt",
        'prompt_id,prompt,agents\np1,"a\nb\n",sql\np1,c,sql\n',
        "line 5: prompt_id 'p1' has another",
    ),
    ("neither_shape", "prompt_id,prompt\np1,a\n", "has neither 'agents' nor 'candidate' and 'quality'; add"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in BAD_ROWS], ids=[case[0] for case in BAD_ROWS])
def test_a_bad_row_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, text)
    with pytest.raises(TableError) as error:
        read_outcomes(path, NAMES if "agents" in text else None)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_candidate_outside_the_given_ones_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="line 3: unknown candidate 'small'; known are big"):
        read_outcomes(put(tmp_path, GRADED), ("big",))


def test_a_message_names_the_first_of_many_agents_and_counts_the_others(tmp_path: Path) -> None:
    names = [f"agent-{number}" for number in range(77)]
    with pytest.raises(TableError) as error:
        read_outcomes(put(tmp_path, LABELS), names)
    assert str(error.value).endswith(f"known are {', '.join(names[:8])}, ... and 69 more")
    assert listed(names[:8]) == ", ".join(names[:8])
    assert listed(number for number in range(3)) == "0, 1, 2"
    assert listed([]) == "none"


def test_a_table_that_names_no_agent_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="names no agent in any row"):
        read_outcomes(put(tmp_path, "prompt_id,prompt,agents\np1,a,\n"))


@pytest.mark.parametrize("prompt", ['["a"]', '{"a": 1}', "7", "true"])
@pytest.mark.parametrize("rest", ['"agents": "sql"', '"candidate": "sql", "quality": 1'], ids=["labels", "graded"])
def test_a_prompt_that_is_not_text_is_refused(prompt: str, rest: str, tmp_path: Path) -> None:
    first = f'{{"prompt_id": "p1", "prompt": "a", {rest}}}'
    path = put(tmp_path, f'{first}\n{{"prompt_id": "p2", "prompt": {prompt}, {rest}}}\n', "rows.jsonl")
    for read in (read_outcomes, read_prompts):
        with pytest.raises(TableError, match=r"rows\.jsonl, line 2: prompt is not text"):
            read(path)


def test_prompts_are_read_once_each_in_order_from_either_shape(tmp_path: Path) -> None:
    assert read_prompts(put(tmp_path, LABELS)) == (("p1", "p2", "p3"), ("fix it", "write and query", "hm"))
    assert read_prompts(put(tmp_path, GRADED)) == (("p1", "p2"), ("first", "second"))
    with pytest.raises(TableError, match="line 5: prompt_id 'p1' has another text in line 2"):
        read_prompts(put(tmp_path, GRADED + "p1,other,big,1,\n"))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Agents, and prompts that each name some of them in some order."""
    name = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
    names = tuple(draw(st.lists(name, min_size=1, max_size=6, unique=True)))
    rows = st.lists(st.lists(st.sampled_from(names), unique=True, max_size=len(names)).map(tuple), max_size=6)
    return names, draw(rows)


@given(labelled())
def test_labels_come_back_from_the_matrix_that_they_make(case: tuple[tuple[str, ...], list[tuple[str, ...]]]) -> None:
    names, rows = case
    matrix = label_matrix([split_agents("|".join(row)) for row in rows], names)
    assert matrix.shape == (len(rows), len(names))
    assert set(np.unique(matrix)) <= {0.0, 1.0}
    back = [{name for name, cell in zip(names, line, strict=True) if cell} for line in matrix]
    assert back == [set(row) for row in rows]


def test_rows_keep_every_field_aligned() -> None:
    outcomes = Outcomes(
        ("a", "b"), ("x", "y"), ("c",), np.array([[0.0], [1.0]], np.float32), np.array([[2.0], [3.0]], np.float32),
        True, np.array([5, 6]), np.array([False, True]),
    )  # fmt: skip
    picked = outcomes.rows(np.array([1]))
    assert picked.folds is not None
    assert picked.augmented is not None
    assert (picked.prompt_ids, picked.prompts, len(picked)) == (("b",), ("y",), 1)
    assert (picked.quality[0, 0], picked.cost[0, 0], picked.folds[0], picked.augmented[0]) == (1, 3, 6, True)
