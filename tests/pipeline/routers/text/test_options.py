"""The options of multiple-choice prompts."""

from __future__ import annotations

import pytest

from pipeline.routers.text.options import rotated_options

ASKED = "Which is red?\nA. sky\nB. blood\nC. grass\nAnswer:"


def test_options_move_on_by_letters_and_all_else_stays() -> None:
    assert rotated_options(ASKED, 1) == "Which is red?\nA. grass\nB. sky\nC. blood\nAnswer:"
    assert rotated_options(ASKED, 2) == "Which is red?\nA. blood\nB. grass\nC. sky\nAnswer:"
    assert rotated_options(ASKED, 3) == ASKED
    assert rotated_options(rotated_options(ASKED, 1), 2) == ASKED


def test_marks_of_several_forms_are_read() -> None:
    assert rotated_options("(A) one\n(B) two", 1) == "(A) two\n(B) one"
    assert rotated_options("A、一\nB、二", 1) == "A、二\nB、一"


def test_empty_lines_between_options_stay() -> None:
    assert rotated_options("Q\n\nA. x\n\nB. y\n\nAnswer:", 1) == "Q\n\nA. y\n\nB. x\n\nAnswer:"


@pytest.mark.parametrize("text", [
    "", "A. alone", "B. first\nC. second", "No options here.\nAnd none there.",
    "Pick one.\nA. it holds that\n   x > 0\nB. it holds that\n   x < 0", "A: hello\n(He waves.)\nB: who is it?",
])  # fmt: skip
def test_what_has_no_options_stays(text: str) -> None:
    assert rotated_options(text, 1) == text


def test_options_begin_anew_at_an_a() -> None:
    """A shown example before the question has options of its own; those of the question are rotated."""
    assert rotated_options("A. x\nB. y\nNow:\nA. one\nB. two", 1) == "A. x\nB. y\nNow:\nA. two\nB. one"
