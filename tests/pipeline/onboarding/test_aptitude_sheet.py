"""The sheet of an aptitude test, and what comes back filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_aptitude import plain, prompt_of, small_table, small_test

from pipeline.onboarding.ability import ability_of
from pipeline.onboarding.aptitude_sheet import SHARE, handing_out, make_sheet, write_sheet
from pipeline.onboarding.graded_answers import read_graded_answers
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import read_table, write_table

TEST = small_test()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return small_table(tmp_path / "table.csv")


def exported(table: Path, name: str = "sheet.csv", count: int | None = None) -> pd.DataFrame:
    out = table.parent / name
    write_sheet(make_sheet(TEST, plain, table), count, out)
    return read_table(out)


def filled(table: Path, name: str = "sheet.csv", quality: object = "1", count: int | None = None) -> Path:
    """An exported sheet with every quality filled in."""
    write_table(exported(table, name, count).drop(columns="line").assign(quality=quality), table.parent / name)
    return table.parent / name


def changed(results: Path, row: int, **values: object) -> Path:
    """The file with another value in a row; a value of None leaves the row out."""
    frame = read_table(results).drop(columns="line")
    for column, value in values.items():
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
    write_table(frame.dropna(subset=["prompt_id"]), results)
    return results


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_every_item_comes_with_its_prompt_task_and_grading(table: Path, ending: str) -> None:
    sheet = exported(table, f"sheet.{ending}")
    assert set(sheet["prompt_id"]) == set(TEST.prompt_ids)
    assert " ".join(sheet.columns) == "item prompt_id prompt task keywords grading quality cost line"
    of = sheet.set_index("prompt_id")
    assert of.loc["sums-3", "prompt"] == prompt_of("sums", 3)
    assert int(of.loc["trivia-1", "task"]) == 3
    assert (of.loc["sums-3", "grading"], of.loc["poems-3", "grading"]) == ("0 or 1", "0 to 1")
    assert of.loc["poems-3", "keywords"] == "poems, question"
    assert set(sheet["quality"]) == set(sheet["cost"]) == {""}


def test_a_filled_sheet_of_any_ending_is_read(table: Path) -> None:
    for ending, quality in (("csv", "0.5"), ("parquet", 0.5), ("jsonl", 0.5)):
        results = read_graded_answers(filled(table, f"sheet.{ending}", quality), TEST, plain)
        np.testing.assert_array_equal(results.on(TEST), np.full(len(TEST), 0.5, dtype=np.float32))


def test_fewer_items_are_the_beginning_of_more_and_are_spread_over_tasks(table: Path) -> None:
    whole = list(exported(table)["prompt_id"])
    for count in (1, 9, 18):
        assert list(exported(table, f"{count}.csv", count)["prompt_id"]) == whole[:count]
    assert sorted(TEST.task[handing_out(TEST)[:9]].tolist()) == [0] * 4 + [1] * 4 + [2]
    assert sorted(TEST.task[handing_out(TEST)[:18]].tolist()) == [0] * 8 + [1] * 8 + [2] * 2


def test_the_order_is_that_of_the_texts_and_not_of_the_items_numbers() -> None:
    turned = replace(
        TEST,
        prompt_ids=TEST.prompt_ids[::-1],
        digests=TEST.digests[::-1],
        task=TEST.task[::-1],
        weight=TEST.weight[::-1],
    )
    handed = [[test.digests[item] for item in handing_out(test)] for test in (TEST, turned)]
    assert handed[0] == handed[1]


def test_references_come_along_and_must_agree(table: Path, tmp_path: Path) -> None:
    told = small_table(tmp_path / "told.parquet", reference="B")
    assert set(exported(told, "told.csv")["reference"]) == {"B"}
    frame = read_table(told).drop(columns="line")
    frame.loc[1, "reference"] = "C"
    write_table(frame, told)
    with pytest.raises(TableError, match=r"told\.parquet, line 2: prompt 'sums-0' has another reference above"):
        make_sheet(TEST, plain, told)


def test_items_are_known_by_what_follows_shared_beginnings_whatever_their_ids(table: Path) -> None:
    frame = read_table(table).drop(columns="line")
    frame["prompt"], frame["prompt_id"] = "Shared. " + frame["prompt"], "x-" + frame["prompt_id"]
    write_table(frame, table)
    rows = make_sheet(TEST, lambda texts: tuple(text.removeprefix("Shared. ") for text in texts), table).rows
    assert set(rows["prompt_id"]) == {f"x-{name}" for name in TEST.prompt_ids}


def test_a_table_that_lacks_items_is_refused_unless_that_is_meant(table: Path) -> None:
    frame = read_table(table).drop(columns="line")
    write_table(frame[frame["prompt_id"] != "poems-2"], table)
    with pytest.raises(TableError, match="lacks 1 of 45 items of the test, first 'poems-2'"):
        make_sheet(TEST, plain, table)
    sheet = make_sheet(TEST, plain, table, partial=True)
    assert (sheet.missing, len(sheet.rows)) == (("poems-2",), 44)
    write_table(frame.assign(prompt="another"), table)
    with pytest.raises(TableError, match="lacks 45 of 45"):
        make_sheet(TEST, plain, table, partial=True)


def test_items_that_nobody_tried_are_graded_by_share(table: Path) -> None:
    write_table(read_table(table).drop(columns="line").assign(quality=""), table)
    assert set(exported(table)["grading"]) == {SHARE}


def test_prompts_of_the_holdout_come_along_and_say_nothing_of_the_test(table: Path) -> None:
    frame = pd.read_csv(table)
    more = frame.iloc[:2].assign(prompt_id=["held-1", "held-2"], prompt=["Who held the door?", "Who held the rope?"])
    pd.concat([frame, more]).to_csv(table, index=False)
    out = table.parent / "both.csv"
    assert write_sheet(make_sheet(TEST, plain, table, holdout=["held-2", "held-1"]), 5, out) == 7
    sheet = read_table(out).drop(columns="line")
    assert list(sheet["prompt_id"][5:]) == ["held-1", "held-2"]
    assert list(sheet["keywords"][5:]) == ["holdout", "holdout"]
    write_table(sheet.assign(quality=["1"] * 5 + ["0"] * 2), out)
    with pytest.raises(TableError, match="line 12: prompt 'held-1' is no item of this test"):
        read_graded_answers(out, TEST, plain)
    results = read_graded_answers(out, TEST, plain, holdout=list(sheet["prompt"][5:]))
    assert np.nansum(results.on(TEST)) == (~np.isnan(results.on(TEST))).sum() == 5
    assert len(results.outcomes("new").prompts) == 7


def test_a_sheet_is_not_overwritten(table: Path) -> None:
    results = filled(table)
    with pytest.raises(InputError, match="exists"):
        exported(table)
    assert read_graded_answers(results, TEST, plain).answers


FAULTS = {
    "half-finished": ({"quality": ""}, 8, "line 18: quality is empty, as for 1 of 45 items"),
    "row lost at the end": (
        {"prompt_id": None},
        44,
        "line 88: the file ends, and 1 of 45 items have no row, first item 45",
    ),
    "row lost inside": ({"prompt_id": None}, 3, "first item 4"),
    "not a number": ({"quality": "good"}, 1, "line 4: quality 'good' is not a number"),
    "decimal comma": ({"quality": "0,5"}, 1, "line 4: quality '0,5' is not a number"),
    "infinite": ({"quality": "inf"}, 1, "line 4: quality 'inf' is infinite"),
    "too large": ({"quality": "1.5"}, 1, "line 4: quality 1.5 is outside 0..1"),
    "percent": ({"quality": "-0.1"}, 1, "line 4: quality -0.1 is outside 0..1"),
    "negative cost": ({"cost": "-1"}, 1, "line 4: cost -1 is outside 0 and above"),
    "text changed": ({"prompt": "sums, question 3"}, 1, "line 4: the text of prompt '.*' is not that of the test"),
    "no text": ({"prompt": " "}, 1, "line 4: prompt is empty"),
    "unknown item": ({"prompt": "more", "prompt_id": "p9"}, 1, "line 4: prompt 'p9' is no item of this test"),
    "number changed": ({"item": "4"}, 1, "line 4: item '4' is not such as '17 of 100'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_meant_is_refused_with_its_line(table: Path, fault: str) -> None:
    values, row, words = FAULTS[fault]
    results = changed(filled(table), row, **values)
    with pytest.raises(TableError, match=words) as error:
        read_graded_answers(results, TEST, plain)
    assert str(error.value).startswith(str(results))
    assert "\n" not in str(error.value)


def test_an_item_with_two_qualities_is_refused_and_with_one_twice_is_not(table: Path) -> None:
    frame = read_table(filled(table)).drop(columns="line")
    results = table.parent / "twice.csv"
    write_table(pd.concat([frame, frame.head(1)]), results)
    assert len(read_graded_answers(results, TEST, plain).answers) == 45
    for partial in (False, True):
        write_table(pd.concat([frame, frame.head(1).assign(quality="0")]), results)
        with pytest.raises(TableError, match=r"line 92: prompt '.*' has quality 0 here and 1 in line 2; keep one"):
            read_graded_answers(results, TEST, plain, partial=partial)


def test_fewer_answers_are_taken_where_that_is_meant(table: Path) -> None:
    results = changed(filled(table), 3, quality="")
    assert len(read_graded_answers(results, TEST, plain, partial=True).answers) == 44
    assert len(read_graded_answers(filled(table, "few.csv", count=9), TEST, plain).answers) == 9
    unnumbered = table.parent / "own.csv"
    write_table(read_table(table.parent / "few.csv").drop(columns=["line", "item", "cost"]), unnumbered)
    with pytest.raises(TableError, match=r"36 of 45 items have no row, first prompt 'sums-"):
        read_graded_answers(unnumbered, TEST, plain)
    assert len(read_graded_answers(unnumbered, TEST, plain, partial=True).answers) == 9
    with pytest.raises(TableError, match="grades no answer"):
        read_graded_answers(filled(table, "none.csv", quality=""), TEST, plain, partial=True)


def test_answers_become_outcomes_of_the_new_candidate_alone(table: Path) -> None:
    results = read_graded_answers(changed(filled(table, quality="0"), 0, quality="1", cost="0.002"), TEST, plain)
    outcomes = results.outcomes("newcomer", ("big", "little"))
    assert outcomes.candidates == ("big", "little", "newcomer")
    assert np.isnan(outcomes.quality[:, :2]).all()
    assert (outcomes.quality[0, 2], outcomes.quality[1:, 2].max()) == (1, 0)
    assert outcomes.cost[0, 2] == pytest.approx(0.002)
    assert np.isnan(outcomes.cost[1:]).all()
    np.testing.assert_array_equal(TEST.answers(outcomes)[:, 2], results.on(TEST))


def test_fewer_answers_are_less_sure_and_pulled_to_the_middle() -> None:
    right = np.where(TEST.task == 1, 0.0, 1.0).astype(np.float32)
    few = np.full_like(right, np.nan)
    few[handing_out(TEST)[:9]] = right[handing_out(TEST)[:9]]
    whole, part = ability_of(TEST, right), ability_of(TEST, few)
    assert whole.widening == pytest.approx(1)
    assert part.widening > 1.3
    assert (whole.level.answers, part.level.answers, part.items) == (45, 9, 45)
    assert whole.tasks[0].accuracy.value > part.tasks[0].accuracy.value > part.tasks[1].accuracy.value
    assert part.tasks[1].accuracy.value > whole.tasks[1].accuracy.value
    for task in (*whole.tasks, *part.tasks):
        assert task.accuracy.low <= task.accuracy.value <= task.accuracy.high
    level = whole.level
    assert level.low < 25 / 45 < level.high
