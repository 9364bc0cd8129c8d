"""Whether a file holds given rows, whatever it is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.versions.row_search import CannotUnpack, RowMatcher, is_searchable

TEXT = 'Book "Zum Hirsch" for 3 & mail Ünal\nthe invoice'
ROWS = RowMatcher(frozenset({"p1"}), frozenset({TEXT, "short"}))


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


def test_a_table_without_ids_holds_a_row_by_its_text(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    assert ROWS.are_in(_parquet(path, prompt=["x", "short"], agents=["a", "b"]))
    assert ROWS.are_in(_parquet(path, prompt=["x", f"{TEXT} today"], agents=["a", "b"]))
    assert not ROWS.are_in(_parquet(path, prompt=["x", "shorter"], agents=["a", "b"]))


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


def _zipped(content: bytes) -> bytes:
    with zipfile.ZipFile(to := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", content)
    return to.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, _zipped])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_a_text_is_found_however_it_is_packed(pack: Callable[[bytes], bytes], encoding: str) -> None:
    written = json.dumps({"note": f"as for {TEXT}"}, ensure_ascii=False).encode(encoding)
    assert ROWS.are_quoted_in(pack(written))
    assert not ROWS.are_quoted_in(pack(written.replace("Hirsch".encode(encoding)[-12:], b"")))


@pytest.mark.parametrize(
    "content", [gzip.compress(b"abc" * 99)[:-9], b"\x28\xb5\x2f\xfd packed", b"PK\x03\x04 no archive"]
)
def test_what_cannot_be_unpacked_is_not_taken_for_empty(content: bytes) -> None:
    with pytest.raises(CannotUnpack):
        ROWS.are_in(content)


def test_json_lines_are_tables() -> None:
    lines = [{"prompt_id": "p9", "prompt": "x"}, {"prompt_id": "p1", "prompt": "another text of it"}]
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    assert ROWS.are_in(content)
    assert ROWS.texts_in(content) == {"another text of it"}
    assert ROWS.are_in(b'{"prompt_id": "p1", "candidate": "a", "quality": 1}\n')
    assert not ROWS.are_in(b'{"prompt_id": "p2", "candidate": "a", "quality": 1}\n')


def test_other_ids_with_the_same_text_are_named(tmp_path: Path) -> None:
    table = _parquet(tmp_path / "t.parquet", prompt_id=["p1", "p7", "p8"], prompt=[TEXT, TEXT, "x"])
    assert ROWS.others_in(table) == {"p7"}
    assert ROWS.others_in(b"no table") == frozenset()


def test_short_texts_and_weights_are_not_searched() -> None:
    assert not ROWS.are_in(b"a short note")
    assert not is_searchable(b"\x10\0\0\0\0\0\0\0" + b'{"vectors"')
    assert not is_searchable(b"\x08\x08\x12\x07pytorch")
    assert is_searchable(b"SQLite format 3\0" + TEXT.encode())


def test_a_page_names_an_id_as_a_word() -> None:
    assert ROWS.are_named_in(b"<td>p1</td>")
    assert not ROWS.are_named_in(b"<td>p12</td> sp1 p1-a")
