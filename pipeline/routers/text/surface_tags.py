"""Tags that a text shows on its surface: script, language, code, arithmetic, multiple choice, length."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f",
    "han": "\u3400-\u4dbf\u4e00-\u9fff",
    "kana": "\u3040-\u30ff",
    "hangul": "\uac00-\ud7af\u1100-\u11ff",
    "cyrillic": "\u0400-\u04ff",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff",
    "hebrew": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
}
_LETTERS = {name: re.compile(f"[{characters}]") for name, characters in _SCRIPTS.items()}
_FUNCTION_WORDS = {
    "english": "the of and to is that for with which what",
    "german": "der die das und ist nicht ein eine mit für",
    "french": "le la les des et est une dans pour que",
    "spanish": "el los las una por para con del que es",
    "italian": "il gli della che per con sono una nel di",
    "portuguese": "os das uma para com não que em do da",
}
_LANGUAGES = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}
_CODE = re.compile(
    r"```|>>>|=>|==|!=|\+=|\(\)|[;{]\s*$|</\w+>|^\s*(?:def|class|import|from|function|public|return|select|#include)\b",
    re.MULTILINE | re.IGNORECASE,
)
_PROGRAMMING = re.compile(
    r"\b(?:python|javascript|java|sql|code|function|algorithm|regex|array|string)\b", re.IGNORECASE
)
_SUM = re.compile(
    r"\d\s*[-+*/×÷=^%]\s*\d|[$€£]\s?\d|\d\s?%|\bhow (?:many|much)\b|多少|\\frac|\b\d+/\d+\b", re.IGNORECASE
)
_NUMBER = re.compile(r"\d+")
_OPTION = re.compile(r"^\s*\(?([A-Ea-e])[.):、．]", re.MULTILINE)
_LENGTHS = (50, 100, 200, 400, 800, 1600, 3200, 6400)
_LEAST_NUMBERS = 3


def surface_tags(text: str) -> tuple[str, ...]:
    """The tags of one text, such as `script han`, `multiple choice`, `up to 200 characters`."""
    return tuple(_tags(text))


def _tags(text: str) -> Iterator[str]:
    script = max(_LETTERS, key=lambda name: len(_LETTERS[name].findall(text)))
    yield f"script {script}"
    if script == "latin":
        words = set(re.findall(r"\w+", text.lower()))
        language, known = max(((name, len(words & few)) for name, few in _LANGUAGES.items()), key=lambda pair: pair[1])
        yield f"language {language}" if known > 1 else "language unknown"
    if len(_CODE.findall(text)) > 1:
        yield "code"
    elif _PROGRAMMING.search(text):
        yield "about programming"
    if _SUM.search(text):
        yield "arithmetic"
    if len(_NUMBER.findall(text)) >= _LEAST_NUMBERS:
        yield "numbers"
    if len({letter.upper() for letter in _OPTION.findall(text)}) > 1:
        yield "multiple choice"
    yield next((f"up to {most} characters" for most in _LENGTHS if len(text) <= most), "longer text")
