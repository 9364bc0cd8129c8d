"""Rows leave the curated files; every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.forgetting import (
    ForgottenRow,
    files_without_rows,
    forgotten_rows,
    with_forgotten,
    without_ids,
    without_last,
    without_rows,
)
from pipeline.runtime.errors import TableError
from pipeline.versions.row_search import SoughtRows

# Quoting that no writer of ours would choose, three ways to end a line, a text over two lines, a byte-order mark.
ODD = (
    '\ufeffprompt_id,prompt,agents\r\n"p1","one",a\r\n'
    'p2,"two\nlines, ""quoted""",b\np3,  three ,"a|b"\r\np2,again,b\r\np4,four,a'
)


def test_only_the_named_rows_leave_and_every_other_byte_stays() -> None:
    left, texts = without_rows(ODD, {"p2"}, "t.csv")
    assert left == '\ufeffprompt_id,prompt,agents\r\n"p1","one",a\r\np3,  three ,"a|b"\r\np4,four,a'
    assert texts == {"p2": ('two\nlines, "quoted"', "again")}
    assert without_rows(ODD, {"p9", "p"}, "t.csv") == (ODD, {})
    assert without_rows(ODD, {"p4"}, "t.csv")[0] == ODD.removesuffix("p4,four,a")


def test_malformed_tables_are_refused_with_the_line() -> None:
    with pytest.raises(TableError, match="line 3: 2 fields"):
        without_rows("prompt_id,prompt,agents\np1,one,a\np2,two\n", {"p1"}, "t.csv")
    with pytest.raises(TableError, match="line 2"):
        without_rows('prompt_id,prompt\np1,"one', {"p1"}, "t.csv")
    with pytest.raises(TableError, match="prompt_id"):
        without_rows("id,prompt\np1,one\n", {"p1"}, "t.csv")


def test_the_holdout_keeps_its_comments() -> None:
    assert without_ids("\ufeffp1\np2\n", {"p1"}) == "p2\n"
    assert without_ids("# p1 is not an id here\np1\np10\n\np2", {"p1"}) == "# p1 is not an id here\np10\n\np2"


def _project(root: Path) -> Path:
    (root / "data").mkdir(parents=True)
    (root / "data/prompts.csv").write_text("prompt_id,prompt,agents\np1,one,a\np2,two,b\np3,three,b\n")
    (root / "data/holdout.txt").write_text("p2\n")
    reviews = "prompt_id,text_sha256,decision,agents,reviewer,reviewed_on,note\np1,ab,keep,,ana,2026-11-22,\n"
    (root / "data/label_reviews.csv").write_text(reviews)
    return root


def test_a_cut_names_only_files_that_change(tmp_path: Path) -> None:
    root = _project(tmp_path)
    assert {path.name for path in files_without_rows(root, ["p1"]).files} == {"prompts.csv", "label_reviews.csv"}
    assert {path.name for path in files_without_rows(root, ["p2"]).files} == {"prompts.csv", "holdout.txt"}
    assert {path.name for path in files_without_rows(root, ["p3"]).files} == {"prompts.csv"}
    assert files_without_rows(root, ["p4"]).files == {}
    assert (root / "data/prompts.csv").read_text().count("\n") == 4


def test_a_text_is_listed_once(tmp_path: Path) -> None:
    root = _project(tmp_path)
    assert forgotten_rows(root) == []
    first = ForgottenRow("p1", "ab", "2026-11-22", "Ana, <a@x>", 'request "17"')
    (root / "data/forgotten.csv").write_bytes(with_forgotten(root, [first]))
    again = with_forgotten(root, [first, ForgottenRow("p1", "cd", "2026-11-23", "b", "more")])
    assert again.decode().splitlines() == [
        "prompt_id,text_sha256,forgotten_on,by,reason",
        'p1,ab,2026-11-22,"Ana, <a@x>","request ""17"""',
        "p1,cd,2026-11-23,b,more",
    ]
    assert {name for name, _ in forgotten_rows(root)} == {"p1"}


def test_a_reason_is_no_formula(tmp_path: Path) -> None:
    entry = ForgottenRow("p1", "ab", "2026-11-22", "@ana", "=HYPERLINK(A1)")
    assert (
        with_forgotten(_project(tmp_path), [entry]).decode().splitlines()[1] == "p1,ab,2026-11-22,'@ana,'=HYPERLINK(A1)"
    )


def test_the_last_row_of_a_prompt_is_taken_out_and_every_other_byte_stays() -> None:
    before, after = 'prompt_id,note\r\np1,"one, \ntwo"\np2,x\n', "p3,y"
    assert without_last(f'{before}p1,"a\nb"\n{after}', "p1", "t.csv") == f"{before}{after}"
    assert without_last(before, "p9", "t.csv") == before


TEXT = 'Book "Zum Hirsch" for 3 & mail Ünal\nthe invoice'
ROWS = SoughtRows(frozenset({"p1"}), frozenset({TEXT, "short"}))


def _parquet(path: Path, **columns: list[str]) -> bytes:
    pd.DataFrame(columns).to_parquet(path)
    return path.read_bytes()


def test_a_table_holds_a_row_by_id_by_text_or_as_a_parent(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    assert ROWS.are_in(_parquet(path, prompt_id=["p9", "p1"], prompt=["x", "another text of it"]))
    assert ROWS.are_in(_parquet(path, prompt_id=["p9"], prompt=[TEXT]))
    assert ROWS.are_in(_parquet(path, prompt_id=["p9"], prompt=["short"]))
    assert ROWS.are_in(_parquet(path, prompt_id=["p9+a"], prompt=["made from it"], parents=["p8|p1"]))
    assert not ROWS.are_in(_parquet(path, prompt_id=["p10"], prompt=["shorter"], parents=["p11"]))
    assert ROWS.texts_in(_parquet(path, prompt_id=["p9", "p1"], prompt=["x", "y"])) == {"y"}


def test_an_id_without_a_text_is_no_holding(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    assert not ROWS.are_in(_parquet(path, prompt_id=["p1"], text_sha256=["ab"]))
    assert ROWS.are_in(_parquet(path, prompt_id=["p1"], reason=[f"prompt_length ({TEXT!r})"]))
    assert not ROWS.are_in(b"prompt_id,agents\np1,a\n")


def test_a_graded_outcome_of_a_row_is_a_holding_without_its_text(tmp_path: Path) -> None:
    path = tmp_path / "train_outcomes.parquet"
    facts = {"candidate": ["a", "b"], "quality": [0.5, 1.0], "cost": [None, 0.1]}
    assert ROWS.are_in(_parquet(path, prompt_id=["p9", "p1"], **facts))
    assert not ROWS.are_in(_parquet(path, prompt_id=["p9", "p10"], **facts))
    assert ROWS.are_in(b"prompt_id,candidate,quality\np1,a,1\n")
    assert not ROWS.are_in(b"prompt_id,candidate,score\np1,a,1\n")


@pytest.mark.parametrize(
    "written",
    [
        TEXT,
        'p9,"Book ""Zum Hirsch"" for 3 & mail Ünal\nthe invoice",a',
        '{"text": "Book \\"Zum Hirsch\\" for 3 & mail \\u00dcnal\\nthe invoice"}',
        "<p>Book &quot;Zum Hirsch&quot; for 3 &amp; mail Ünal\nthe invoice</p>",
    ],
)
def test_a_text_is_found_however_it_is_written(written: str) -> None:
    assert ROWS.are_in(written.encode())
    assert not ROWS.are_in(written.replace("Hirsch", "Hirschen").encode())


def test_short_texts_and_tensors_are_not_searched() -> None:
    assert not ROWS.are_in(b"a short note")
    assert not ROWS.are_in(b"\x10\0\0\0\0\0\0\0" + TEXT.encode())


def test_a_page_names_an_id_as_a_word() -> None:
    assert ROWS.are_named_in("<td>p1</td>")
    assert not ROWS.are_named_in("<td>p12</td> sp1 p1-a")
