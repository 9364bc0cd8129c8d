"""How tags are read from what a language model answered: lists, and JSON, whole or cut off, alone or within words."""

from __future__ import annotations

import pytest

from pipeline.routers.tags.tag_answers import parse_tags


@pytest.mark.parametrize(("written", "expected"), [
    ("arithmetic, word problem, rates", ("arithmetic", "word problem", "rate")),
    ("Tags: Physics; physics | Optics", ("physics", "optic")),
    ('["law", "tax law"]', ("law", "tax law")),
    ("1. biology\n2) cell division\n- cells", ("biology", "cell division", "cell")),
    ("数学，几何", ("数学", "几何")),
    ("A. B. , C", ("a b",)),
    ("The tank is empty after thirteen hours of loss.", ()),
    ("", ()),
])  # fmt: skip
def test_tags_are_read_from_what_a_model_wrote(written: str, expected: tuple[str, ...]) -> None:
    assert parse_tags(written) == expected


def test_no_more_than_eight_tags_are_read() -> None:
    assert len(parse_tags(", ".join(f"topic{chr(97 + i)}" for i in range(20)))) == 8


@pytest.mark.parametrize(("written", "expected"), [
    ('{"tags": ["grammar correction"]}', ("grammar correction",)),
    ('[{"tag": "Law", "explanation": "taxes, fines"}, {"tag": "tax law", "explanation": "a tax"}]', ("law", "tax law")),
    ('{"explanation": ["why"], "Tags": [{"name": "law", "score": 0.9, "sure": true}]}', ("law",)),
    ('```json\n{"tags": "algebra, geometry"}\n```', ("algebra", "geometry")),
    ('Sure [see below], these are they:\n["law"]\nHope, it helps', ("law",)),
    ('{"tag": "law"}\n{"tag": "tax law"}', ("law", "tax law")),
    ('[["law"], ["caf\\u00e9", "a \\"b\\" c"]]', ("law", "café", "a b c")),
    ("[{'tag': 'today\'s law', 'explanation': 'it, is'}]", ("today s law",)),
    ('{"labels": ["law"]}', ()),
    ("[]", ()),
    ("physics [advanced], optics", ("physics advanced", "optic")),
    ("```\nlaw, tax\n```", ("law", "tax")),
])  # fmt: skip
def test_json_is_read_before_lists(written: str, expected: tuple[str, ...]) -> None:
    assert parse_tags(written) == expected


@pytest.mark.parametrize(("written", "expected"), [
    ('{"tags": ["grammar", "spell', ("grammar",)),
    ('{"tags": ["grammar", "spelling"', ("grammar", "spelling")),
    ('[{"tag": "grammar", "explanation": "it is, abo', ("grammar",)),
    ('[{"tag": "grammar", "explanation', ("grammar",)),
    ('[{"tag": "grammar"}, {"tag": "spel', ("grammar",)),
    ('```json\n["gram', ()),
])  # fmt: skip
def test_of_json_that_was_cut_off_the_whole_tags_count(written: str, expected: tuple[str, ...]) -> None:
    assert parse_tags(written) == expected
