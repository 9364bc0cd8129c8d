"""Key phrases of a text: one to three words in a normal form, or short runs of characters in unspaced scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_MOST_CHARACTERS = 20_000
_WORDS = 3
_UNSPACED = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
"""Scripts that are written without spaces: Han, kana, Thai."""
_TOKEN = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>[^\W\d_{_UNSPACED}][^\W_{_UNSPACED}]*(?:[+#]+(?!\w))?)|\S")
_RUNS = (2, 3, 4)
_FUNCTION_WORDS = """
a about above after again against all also am an and any are aren as at be because been before being below between both
but by can cannot could couldn did didn do does doesn doing don down during each either else etc ever every few for
from further had has hasn have haven having he her here hers herself him himself his how however i if in into is isn it
its itself just let ll many may me might more most much must my myself neither never no nor not now of off on once one
only or other our ours out over own per please re same shall she should shouldn since so some such than that the their
theirs them themselves then there these they this those though three through thus to too two under until up upon us
used using ve very via was wasn we were weren what when where whether which while who whom whose why will with within
without won would wouldn yes yet you your yours yourself
"""
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
_ALREADY_SINGULAR = frozenset({"species", "series", "news", "lens", "mathematics", "physics", "economics"})


def key_phrases(text: str) -> frozenset[str]:
    """All candidate phrases of a text in normal form: lower case, singular, no stop word at either end."""
    text = unicodedata.normalize("NFKC", text[:_MOST_CHARACTERS]).casefold().replace("\n", " . ")
    found: set[str] = set()
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        if match["word"] is not None:
            words.append(match["word"])
            continue
        found.update(_spans(words))
        words = []
        if match["unspaced"] is not None:
            found.update(_pieces(match["unspaced"]))
    found.update(_spans(words))
    return frozenset(found)


def normal(phrase: str) -> str:
    """The normal form of a phrase that somebody, or a model, wrote: "Climate Changes!" is "climate change"."""
    text = unicodedata.normalize("NFKC", phrase).casefold()
    tokens = [match.group() for match in _TOKEN.finditer(text) if match["word"] or match["unspaced"]]
    return " ".join(_singular(token) for token in tokens)


def _spans(words: list[str]) -> Iterator[str]:
    """Up to three words in a row that neither begin nor end with a stop word."""
    normal_form = [_singular(word) for word in words]
    for start, first in enumerate(words):
        if first in _STOP_WORDS or len(first) < 2:
            continue
        for end in range(start + 1, min(start + _WORDS, len(words)) + 1):
            if words[end - 1] not in _STOP_WORDS and len(words[end - 1]) > 1:
                yield " ".join(normal_form[start:end])


def _pieces(run: str) -> Iterator[str]:
    for length in _RUNS:
        for start in range(len(run) - length + 1):
            yield run[start : start + length]


def _singular(word: str) -> str:
    if word in _ALREADY_SINGULAR:
        return word
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
