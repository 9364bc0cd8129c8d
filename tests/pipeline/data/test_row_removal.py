"""Rows leave tables and lists; every other byte, or cell, stays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.data.row_removal import list_without_ids, table_without_rows, without_last
from pipeline.runtime.errors import TableError

T = Path("t.csv")
# Quoting that no writer of ours would choose, three ways to end a line, a text over two lines, a byte-order mark.
ODD = (
    '\ufeffprompt_id,prompt,agents\r\n"p1","one",a\r\n'
    'p2,"two\nlines, ""quoted""",b\np3,  three ,"a|b"\r\np2,again,b\r\np4,four,a'
)


def test_only_the_named_rows_leave_and_every_other_byte_stays() -> None:
    taken = table_without_rows(ODD.encode(), {"p2"}, T)
    assert taken.content.decode() == '\ufeffprompt_id,prompt,agents\r\n"p1","one",a\r\np3,  three ,"a|b"\r\np4,four,a'
    assert taken.texts == {"p2": ('two\nlines, "quoted"', "again")}
    assert (taken.gone, taken.left) == (2, 3)
    assert table_without_rows(ODD.encode(), {"p9", "p"}, T).content.decode() == ODD
    assert table_without_rows(ODD.encode(), {"p4"}, T).content.decode() == ODD.removesuffix("p4,four,a")


def test_malformed_tables_are_refused_with_the_line() -> None:
    with pytest.raises(TableError, match="line 3: 2 fields"):
        table_without_rows(b"prompt_id,prompt,agents\np1,one,a\np2,two\n", {"p1"}, T)
    with pytest.raises(TableError, match="line 2"):
        table_without_rows(b'prompt_id,prompt\np1,"one', {"p1"}, T)
    with pytest.raises(TableError, match="prompt_id"):
        table_without_rows(b"id,prompt\np1,one\n", {"p1"}, T)


def test_the_holdout_keeps_its_comments() -> None:
    assert list_without_ids("\ufeffp1\np2\n".encode(), {"p1"}, T).content == b"p2\n"
    kept = list_without_ids(b"# p1 is not an id here\np1\np10\n\np2", {"p1"}, T)
    assert (kept.content, kept.gone) == (b"# p1 is not an id here\np10\n\np2", 1)


@pytest.mark.parametrize("ending", [".jsonl", ".ndjson"])
def test_lines_of_json_leave_whole_whatever_ends_them(ending: str) -> None:
    lines = [
        '\ufeff{"prompt_id": "p1", "candidate": "a", "quality": 1}\r\n', "\n", '{"quality":0.5,"prompt_id":7}\r',
        '{"prompt_id": "p2", "prompt": "two\\u2028 lines\u2028", "candidate": "b"}\n', '{"prompt_id": "p1"}',
    ]  # fmt: skip
    taken = table_without_rows("".join(lines).encode(), {"p2", "7"}, Path(f"t{ending}"))
    assert taken.content.decode() == lines[0] + lines[1] + lines[4]
    assert taken.texts == {"7": (), "p2": ("two\u2028 lines\u2028",)}
    assert (taken.gone, taken.left) == (2, 2)
    with pytest.raises(TableError, match="line 2: not JSON"):
        table_without_rows(b'{"prompt_id": "p1"}\n{"prompt_id": ', {"p1"}, Path("t.jsonl"))
    with pytest.raises(TableError, match="lacks the column"):
        table_without_rows(b'{"id": "p1"}\n', {"p1"}, Path("t.jsonl"))


@pytest.mark.parametrize("ids", [["p1", "p2", "p1"], [1, 2, 1]])
def test_rows_leave_a_parquet_file_and_no_page_of_it_keeps_them(tmp_path: Path, ids: list[object]) -> None:
    path = tmp_path / "t.parquet"
    facts = {"prompt": ["the planted text", "another", "the planted text"], "quality": [0.5, 1.0, 0.0]}
    frame = pd.DataFrame({"prompt_id": ids, **facts, "agents": [["a"], ["b"], []]})
    frame = frame.astype({"prompt": "category"}) if ids[0] == 1 else frame
    frame.to_parquet(path, compression=None, index=False)
    taken = table_without_rows(path.read_bytes(), {str(ids[0])}, path)
    assert (taken.gone, taken.left, taken.texts) == (2, 1, {str(ids[0]): ("the planted text",)})
    assert b"planted" not in taken.content
    before = pq.read_schema(path)
    path.write_bytes(taken.content)
    assert pq.read_schema(path).equals(before, check_metadata=True)
    assert pd.read_parquet(path)["quality"].tolist() == [1.0]
    assert table_without_rows(taken.content, {"p9"}, path).content == taken.content
    with pytest.raises(TableError, match="not a Parquet file"):
        table_without_rows(b"PAR1 no more", {"p1"}, path)


def test_the_last_row_of_a_prompt_is_taken_out_and_every_other_byte_stays() -> None:
    before, after = 'prompt_id,note\r\np1,"one, \ntwo"\np2,x\n', "p3,y"
    assert without_last(f'{before}p1,"a\nb"\n{after}', "p1", "t.csv") == f"{before}{after}"
    assert without_last(before, "p9", "t.csv") == before
