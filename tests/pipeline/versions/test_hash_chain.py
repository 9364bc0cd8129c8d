"""A log that cannot be edited, cut in the middle or reordered without being noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import sha256_text
from pipeline.versions.hash_chain import START, chained, entries, head_of, read_log


def log_of(*words: str) -> str:
    text = ""
    for word in words:
        text = chained(text, {"word": word})
    return text


def test_entries_come_back_in_order_with_what_links_them() -> None:
    text = log_of("a", "b")
    first, second = entries(text, "log")
    assert (first["word"], first["sequence"], first["previous"]) == ("a", 1, START)
    assert (second["word"], second["sequence"], second["previous"]) == ("b", 2, sha256_text(text.splitlines()[0]))
    assert head_of(text).length == 2
    assert head_of(text).sha256 == sha256_text(text.splitlines()[1])


def test_a_word_may_hold_any_character() -> None:
    words = ["a\u2028b", "c\x85d", "e\nf", "g\x1ch", "\r"]
    assert [entry["word"] for entry in entries(log_of(*words), "log")] == words


@given(st.lists(st.text(), min_size=2, max_size=5), st.data())
def test_any_changed_removed_or_moved_line_is_noticed(words: list[str], data: st.DataObject) -> None:
    lines = log_of(*words).removesuffix("\n").split("\n")
    i = data.draw(st.integers(0, len(lines) - 2))
    edited = [*lines[:i], json.dumps({**json.loads(lines[i]), "word": words[i] + "x"}), *lines[i + 1 :]]
    without = lines[:i] + lines[i + 1 :]
    swapped = [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]]
    for bad in (edited, without, swapped):
        with pytest.raises(VerificationFailed, match="line"):
            entries("\n".join(bad) + "\n", "log")


def test_a_cut_tail_shows_in_the_head_only() -> None:
    text = log_of("a", "b", "c")
    cut = "".join(text.splitlines(keepends=True)[:2])
    assert len(entries(cut, "log")) == 2
    assert head_of(cut) != head_of(text)


def test_a_log_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert read_log(tmp_path / "none") == ""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(VerificationFailed, match="cannot be read"):
        read_log(tmp_path / "binary")
    with pytest.raises(VerificationFailed, match="cannot be read"):
        read_log(tmp_path)
