"""What a terminal is shown: a text's own characters, and none by which it would speak to the terminal itself.

Names, reasons, prompts and file names come from people and files. An escape sequence among them would rewrite what
stands on the screen, and a mark of direction would turn a name around; both are shown by their numbers instead.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control characters, marks of direction and of no width, half surrogate pairs, separators of lines."""


def for_terminal(text: str, kept: str = "\n\t") -> str:
    """A text with `\\u001b` in place of an escape character, and so on; the control characters `kept` stay.

    JSON stays JSON and says the same.
    """
    if text.isprintable():
        return text
    return "".join(
        _number(letter) if letter not in kept and unicodedata.category(letter) in _HIDDEN else letter for letter in text
    )


def _number(letter: str) -> str:
    """As JSON writes it: one or two units of UTF-16."""
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
