"""In which language or script a text is, as far as its letters and its commonest words tell, and who can read it.

Letters tell the script, by their names in Unicode. In Latin letters a language is told by its function words, where
they outnumber English ones; nothing can be told of a few words, of code, or of a language that `FUNCTION_WORDS` lacks.
Whether an encoder was made for a language is seen at its tokenizer, which cuts the words of others into letters, bytes
or unknown pieces. So every encoder answers for itself, by whatever name it came.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from pipeline.encoders.languages.words import ENGLISH, FUNCTION_WORDS, SCRIPTS

Pieces = Callable[[Sequence[str]], list[list[int]]]
"""From words to the ids of their pieces, without special tokens."""

_READ = 4000
"""Characters of a text that are looked at."""
_LEAST_SHARE = 0.2
"""Of a text's letters or words, for which another language has to stand before it is told."""
_LEAST_SIGNS = 3
"""Different function words, and words with accents, that a text must have."""
_MOST_PIECES = 1.1
"""Pieces a function word, on average, of a language that an encoder was made for; each is one where it was."""
_LEAST_DISTINCT_WORDS, _LEAST_DISTINCT_PIECES = 0.9, 0.5
"""Words or pieces that are told apart; unknown ones all look alike."""
_WORD = re.compile(r"[^\W\d_]+")


class ReadsLanguages(Protocol):
    """An encoder that tells which languages it was made for."""

    def reads(self, language: str) -> bool:
        """Whether it was made for a language or a script that `language_of` tells."""


def unsupported_languages(encoder: ReadsLanguages, texts: Sequence[str]) -> list[str | None]:
    """Of each text the language or script that the encoder was not made for; None where it was, or none can be told.

    The encoder is asked only of texts that seem to be in another language than English.
    """
    found = [language_of(text) for text in texts]
    unread = {one for one in set(found) if one and not encoder.reads(one)}
    return [one if one in unread else None for one in found]


def language_of(text: str) -> str | None:
    """The language, such as `German`, or the script, such as `Cyrillic letters`; None for English and where none is
    told.
    """
    text = text[:_READ]
    return (None if text.isascii() else _script_of(text)) or _latin_language_of(text)


def is_known(language: str, pieces: Pieces) -> bool:
    """Whether a tokenizer was made for a language or a script that `language_of` tells."""
    if (words := FUNCTION_WORDS.get(language)) is not None:
        cut = pieces(words.split())
        return sum(map(len, cut)) <= _MOST_PIECES * len(cut)
    script = next(one for one in SCRIPTS.values() if one.name == language)
    asked = script.words.split()
    cut = pieces(asked)
    every = [piece for word in cut for piece in word]
    return (
        len(every) <= script.most * sum(map(len, asked))
        and len(set(map(tuple, cut))) >= _LEAST_DISTINCT_WORDS * len(cut)
        and len(set(every)) >= _LEAST_DISTINCT_PIECES * len(every)
    )


def _script_of(text: str) -> str | None:
    """The commonest script that is not Latin; a letter that stands alone, as in a formula, does not count."""
    letters = [_letter_script(letter) for letter in text]
    in_words = Counter(
        script for i, script in enumerate(letters) if script and script in (letters[i - 1 : i] + letters[i + 1 : i + 2])
    )
    other = Counter({script: count for script, count in in_words.items() if script in SCRIPTS})
    if other.total() < _LEAST_SHARE * max(1, sum(map(bool, letters))) or not other:
        return None
    if other["KANA"] and other["KANA"] + other["CJK"] > other.total() / 2:
        return SCRIPTS["KANA"].name
    return SCRIPTS[other.most_common(1)[0][0]].name


@lru_cache(maxsize=4096)
def _letter_script(letter: str) -> str:
    """The first word of the name of a letter or of a sign on one, KANA for both kinds; of all else, nothing."""
    if unicodedata.category(letter)[0] not in "LM":
        return ""
    script = unicodedata.name(letter, "").split(" ")[0]
    return "KANA" if script in ("HIRAGANA", "KATAKANA") else script


def _latin_language_of(text: str) -> str | None:
    words = _WORD.findall(text.casefold())
    tallies = Counter(language for word in words for language in _languages_by_word().get(word, ()))
    if not tallies:
        return None
    language, hits = tallies.most_common(1)[0]
    own = _function_words(language)
    english = sum(word in _function_words(ENGLISH) - own for word in words)
    different = set(words)
    # English has no accents: a word with one speaks for the other language, whichever it is.
    signs = len({word for word in different if language in _languages_by_word().get(word, ())})
    signs += sum(not word.isascii() for word in different)
    return language if signs >= max(_LEAST_SIGNS, _LEAST_SHARE * len(different)) and hits > 2 * english else None


@lru_cache
def _function_words(language: str) -> frozenset[str]:
    return frozenset(FUNCTION_WORDS[language].split())


@lru_cache(maxsize=1)
def _languages_by_word() -> Mapping[str, tuple[str, ...]]:
    """Of each function word the languages that have it; not of what is a word of English, or a variable's name, too."""
    found: dict[str, tuple[str, ...]] = {}
    for language in FUNCTION_WORDS:
        for word in _function_words(language) - _function_words(ENGLISH):
            if len(word) > 1 or not word.isascii():
                found[word] = (*found.get(word, ()), language)
    return found
