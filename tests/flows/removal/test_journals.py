"""Texts in journals are overwritten where they are; every other byte stays."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from flows.removal.journals import blank_rows, blanked
from pipeline.versions.row_search import RowMatcher

TEXT = 'Book "Zum Hirsch" for 3 \\ mail Ünal\nthe invoice'
ROWS = RowMatcher(frozenset({"p1"}), frozenset({TEXT}))


@pytest.mark.parametrize("is_ascii", [True, False])
def test_a_string_is_blanked_and_its_line_stays_json(is_ascii: bool) -> None:
    entry = {"at": "now", "prompt": TEXT, "note": f'as "{TEXT}", twice', "chosen": ["a", "b"]}
    lines = [{"prompt": "another"}, entry, {"note": ""}]
    content = "".join(f"{json.dumps(line, ensure_ascii=is_ascii)}\r\n" for line in lines).encode()
    found = blanked(content, ROWS)
    assert len(found) == len(content)
    first, second, third = map(json.loads, found.decode().splitlines())
    assert (first, third) == (lines[0], lines[2])
    assert set(second["prompt"]) == set(second["note"]) == {"*"}
    assert second | {"prompt": TEXT, "note": entry["note"]} == entry
    assert blanked(found, ROWS) == found


def test_what_is_appended_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, line = tmp_path / "decisions.jsonl", json.dumps({"prompt": TEXT}).encode() + b"\n"
    path.write_bytes(line)
    read = Path.read_bytes

    def appended(self: Path) -> bytes:
        content = read(self)
        with self.open("ab") as file:
            file.write(b'{"prompt": "another"}\n')
        return content

    monkeypatch.setattr(Path, "read_bytes", appended)
    assert blank_rows(path, ROWS)
    monkeypatch.undo()
    assert path.read_bytes() == blanked(line, ROWS) + b'{"prompt": "another"}\n'


def test_a_packed_journal_keeps_its_mode_and_an_archive_is_left(tmp_path: Path) -> None:
    path, line = tmp_path / "decisions.jsonl.1.gz", json.dumps({"prompt": TEXT}).encode()
    path.write_bytes(gzip.compress(line))
    path.chmod(0o600)
    assert blank_rows(path, ROWS)
    assert gzip.decompress(path.read_bytes()) == blanked(line, ROWS)
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(to := io.BytesIO(), "w") as archive:
        archive.writestr("decisions.jsonl", line)
    (tmp_path / "old.zip").write_bytes(to.getvalue())
    assert not blank_rows(tmp_path / "old.zip", ROWS)
    assert (tmp_path / "old.zip").read_bytes() == to.getvalue()
    (tmp_path / "notes.txt").write_text(f"note: {TEXT}")
    assert not blank_rows(tmp_path / "notes.txt", ROWS)
