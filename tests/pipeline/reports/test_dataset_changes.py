"""What differs between two versions of a dataset, by id."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.reports.night_facts import compare
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import write_table

ROWS = {"a": ("Fix my loop", "coding"), "b": ("Mail Ana", "email"), "c": ("Mail Bo and fix it", "email|coding")}


def _table(path: Path, rows: dict[str, tuple[str, str]]) -> Path:
    columns = ["prompt_id", "prompt", "agents"]
    write_table(pd.DataFrame([(key, *value) for key, value in rows.items()], columns=columns), path)
    return path


def test_added_removed_and_changed_rows_are_named_in_order(tmp_path: Path) -> None:
    older = _table(tmp_path / "older.csv", ROWS)
    newer = _table(
        tmp_path / "newer.csv",
        {"z": ("New", "sql"), "d": ("New too", "sql"), "a": ("Fix my loop!", "coding"), "c": (ROWS["c"][0], "email")},
    )
    found = compare(older, newer, against="version 3")
    assert found.against == "version 3"
    assert (found.added, found.removed, found.changed) == (("d", "z"), ("b",), ("a", "c"))


def test_a_new_order_or_another_file_format_changes_nothing(tmp_path: Path) -> None:
    older = _table(tmp_path / "older.csv", ROWS)
    newer = _table(tmp_path / "newer.parquet", dict(reversed(ROWS.items())))
    found = compare(older, newer, against="version 3")
    assert (found.added, found.removed, found.changed) == ((), (), ())


def test_a_table_that_cannot_be_read_is_not_taken_for_one_without_changes(tmp_path: Path) -> None:
    newer = _table(tmp_path / "newer.csv", ROWS)
    with pytest.raises(TableError, match=r"older\.csv does not exist"):
        compare(tmp_path / "older.csv", newer, against="version 3")
