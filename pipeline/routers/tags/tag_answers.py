"""Tags in what a language model answered: as JSON where it wrote some, cut short or not, else as a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.routers.text.key_phrases import normal

_MOST_TAGS, _MOST_WORDS = 8, 4
_PARTED = re.compile(r"[,;\n|、，；]+")
_NUMBERING = re.compile(r"^\s*(?:tags?\s*:|[-*•#]+|\(?\d+[.)])\s*", re.IGNORECASE)
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)
_TAG_KEYS = ("tag", "tags", "name")
_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|'(?!\s*[,:\]}]))*'(?=\s*[,:\]}])"""
"""A text in JSON's quotes, or in Python's, which small models write too."""
_TOKEN = re.compile(rf"\s*({_QUOTED}|[\[\]{{}}:,]|[\w.+-]+)", re.DOTALL)
_BEGIN = re.compile(r"""\[(?=\s*["'\[{\]])|\{(?=\s*["'}])""")


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags in normal form from what a model wrote, at most eight, each once.

    JSON may stand within other words or be cut off, as by the limit of new tokens: what was whole before the cut
    counts. Texts in its lists are tags, and those under `tag`, `tags` or `name`; under other keys they explain.
    Without JSON, tags are what commas, lines or bullets part. What is longer than four words is a sentence, and a
    single letter is an option; neither is a tag.
    """
    written = _in_json(text)
    listed = [_FENCE.sub("", text)] if written is None else written
    pieces = (_NUMBERING.sub("", piece) for part in listed for piece in _PARTED.split(part))
    tags = dict.fromkeys(normal(piece) for piece in pieces)
    fit = (tag for tag in tags if len(tag) > 1 and len(tag.split()) <= _MOST_WORDS)
    return tuple(fit)[:_MOST_TAGS]


@dataclass
class _Container:
    """A list or object that is being read; `key` is the nearest one, `at_value` is false before an object's colon."""

    key: str | None
    is_object: bool
    at_value: bool

    @property
    def holds_tags(self) -> bool:
        return self.key is None or self.key in _TAG_KEYS


def _in_json(text: str) -> list[str] | None:
    """The texts that are tags in every list and object of a text, in their order; None where there is neither."""
    found: list[str] | None = None
    at = 0
    while begin := _BEGIN.search(text, at):
        tokens = list(_tokens(text, begin.start()))
        found = [*(found or []), *_tags_of(token for token, _ in tokens)]
        at = tokens[-1][1]
    return found


def _tokens(text: str, at: int) -> Iterator[tuple[str, int]]:
    """The tokens of one list or object and where each ends; fewer where it is cut off, or goes on as no JSON does."""
    depth = 0
    while token := _TOKEN.match(text, at):
        at = token.end()
        depth += (token[1] in "[{") - (token[1] in "]}")
        yield token[1], at
        if depth == 0:
            return


def _tags_of(tokens: Iterator[str]) -> Iterator[str]:
    inside: list[_Container] = []
    for part in tokens:
        here = inside[-1] if inside else None
        if part in ("[", "{"):
            inside.append(_Container(here.key if here else None, part == "{", part == "["))
        elif here is None or part in ("]", "}"):
            inside = inside[:-1]
        elif part in (":", ","):
            here.at_value = part == ":" or not here.is_object
        elif part[0] in "\"'":
            if not here.at_value:
                here.key = _unquoted(part).casefold()
            elif here.holds_tags:
                yield _unquoted(part)


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:  # in Python's quotes, or with an escape that JSON does not have
        return token[1:-1]
