"""One rule for the names of agents and models; two that are nearly one are told."""

from __future__ import annotations

import pytest

from pipeline.data.names import are_twins, doubts, name_of


def test_outer_space_is_no_part_of_a_name_and_inner_space_is() -> None:
    assert name_of(" GPT 5 Mini\n") == "GPT 5 Mini"


@pytest.mark.parametrize(
    "text", ["", " \t", "\u200b", "\ufeff ", "a|b", "a\nb", "a\0", "a\u2028b", "\udc80"], ids=ascii
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="has "):
        name_of(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("gpt-x", "GPT-X"), ("gpt-x", "gpt-x\u200b"), ("caf\u00e9", "cafe\u0301"), ("gpt 5", "gpt\u00a05"),
     ("gpt 5", "gpt  5"), ("gpt-x", "\ufeffgpt-x"), ("gpt", "\uff47pt"), ("stra\u00dfe", "STRASSE")],
)  # fmt: skip
def test_near_twins_are_told(one: str, other: str) -> None:
    assert are_twins(one, other)
    (line,) = doubts([one, "another", other])
    assert "count as two" in line
    assert line.isprintable()


@pytest.mark.parametrize("mark", list(",;[]{}"))
def test_a_name_that_looks_like_several_is_told(mark: str) -> None:
    (line,) = doubts([f"a{mark}b", "c"])
    assert f"holds '{mark}'" in line


def test_plain_names_raise_no_doubt() -> None:
    assert not doubts(["gpt-4", "gpt-4o", "gpt 4.1", "coding", "7", "a/b:c"])
