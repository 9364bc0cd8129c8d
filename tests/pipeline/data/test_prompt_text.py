"""What counts as a prompt, wherever one is asked for."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.data.prompt_text import EMPTY, fault_in_prompt, fault_in_text


@pytest.mark.parametrize("text", ["a", "'None'", "nan", "0", "🙂", "❤\ufe0f", "a\nb", "\ufeffa", "."])
def test_text_is_taken_as_it_is(text: str) -> None:
    assert fault_in_prompt(text) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "an empty cell"),
        (float("nan"), "an empty cell"),
        (pd.NA, "an empty cell"),
        (1.0, "a value of type float"),
        (True, "a value of type bool"),
        (["a"], "a value of type list"),
        ("a\ud83d", "half a surrogate pair"),
        ("a\0", "NUL"),
        ("\n", EMPTY),
        (" \u200b\ufeff\u2060", EMPTY),
        ("\x01\u3164\ufe0f", EMPTY),
    ],
)
def test_what_is_none_is_said_with_what_it_is(value: object, said: str) -> None:
    assert said in fault_in_prompt(value)


def test_a_text_beside_a_prompt_may_be_empty() -> None:
    assert fault_in_text(" ") == ""
