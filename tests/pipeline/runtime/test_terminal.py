"""What is shown on a terminal cannot speak to it."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from pipeline.runtime.terminal import for_terminal

HIDDEN = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")]
PLAIN = "Řeka, שלום, 你好, 😀, naïve\n\tand\u00a0so on"


def test_every_control_and_every_mark_of_direction_or_no_width_is_shown_by_its_number() -> None:
    told = for_terminal("".join(HIDDEN), kept="")
    assert told.isascii()
    assert told.isprintable()
    for name in ("\x1b[31m", "\x9b2J", "a\rb", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\udc80", "\U000e0001"):
        assert all(letter.isprintable() for letter in for_terminal(name)), ascii(name)


def test_all_else_stays() -> None:
    assert for_terminal(PLAIN) == PLAIN


@pytest.mark.parametrize("text", ["".join(HIDDEN), PLAIN, "\x1b]0;title\x07 \\u001b"])
def test_json_stays_json_and_says_the_same(text: str) -> None:
    document = for_terminal(json.dumps({"name": text}, indent=2, ensure_ascii=False))
    assert json.loads(document) == {"name": text}
    assert all(letter.isprintable() or letter == "\n" or letter == "\u00a0" for letter in document)
