"""A YAML file that somebody wrote: with a mark of byte order or without, and no key twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.runtime.yaml_file import load_yaml


def test_a_mark_of_byte_order_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: &x {b: 1}\nc: {<<: *x, d: [2]}\n")
    assert load_yaml(tmp_path / "a.yaml") == {"a": {"b": 1}, "c": {"b": 1, "d": [2]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "'a' stands twice"),
        ("- {never_send: [health], never_send: []}\n", "'never_send' stands twice"),
        ('a: "x\\ud83d"\n', "half a surrogate pair"),
        ("a: [1\n", "expected"),
    ],
)
def test_what_would_be_lost_or_cannot_be_written_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError, match=message):
        load_yaml(tmp_path / "a.yaml")


def test_what_a_reader_changes_in_it_stays_with_that_reader(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: [1]}\n")
    load_yaml(tmp_path / "a.yaml")["a"]["b"].append(2)
    assert load_yaml(tmp_path / "a.yaml") == {"a": {"b": [1]}}
