"""What a prompt is: a text to see, that a tokenizer and UTF-8 can hold. One rule wherever one is asked."""

from __future__ import annotations

from pipeline.runtime.text import is_blank, is_unicode

EMPTY = "the prompt is empty; write what a person would ask"


def fault_in_text(text: object) -> str:
    """Why something is no text, and what to do; nothing where it is one.

    NUL and half surrogate pairs are refused: JSON and Python may hold them, a tokenizer and UTF-8 cannot.
    """
    if not isinstance(text, str):
        return f"a text is needed, and {_kind(text)} is none; send a string"
    if "\0" in text:
        return "a text has a NUL character, which no text has; remove it"
    if not is_unicode(text):
        return "a text has half a surrogate pair, which is no character; send valid Unicode"
    return ""


def fault_in_prompt(prompt: object) -> str:
    """Why something is no prompt, and what to do; nothing where it is one."""
    return fault_in_text(prompt) or (EMPTY if is_blank(str(prompt)) else "")


def _kind(value: object) -> str:
    # NaN and pandas' NA are what a table makes of an empty cell; neither equals itself.
    missing = value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)
    return "an empty cell" if missing else f"a value of type {type(value).__name__}"
