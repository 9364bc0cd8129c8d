"""Grading an answer by rule, only where the rule cannot be wrong about it; everything else is for people."""

from __future__ import annotations

import re
from decimal import Decimal

from pipeline.onboarding.test_sheet import SHARE

_LEAD = re.compile(r"(?:the\s+)?(?:(?:correct|final|right)\s+)?(?:answer|option)\s*(?:is\s*:?|:|=)\s*", re.IGNORECASE)
_LETTER = re.compile(r"[(\[]?([A-Za-z])[)\].:]*")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_EMPHASIS = "*_`$ \t\r\n"


def grade(answer: str, reference: str, grading: str) -> float | None:
    """1.0 or 0.0, or None where a person has to look.

    Safe are: the same text; a single option letter against one; a number against one, where unequal ones are both
    whole, since 3.14 and 3.1416 may both be right.
    """
    reference, said = reference.strip(), answer.strip()
    if not reference or not said or grading == SHARE:
        return None
    if said == reference:
        return 1.0
    bare = _bare(said)
    letters = _LETTER.fullmatch(reference), _LETTER.fullmatch(bare)
    if letters[0] and letters[1]:
        return float(letters[0][1].upper() == letters[1][1].upper())
    return _grade_numbers(bare.removesuffix("."), reference)


def _bare(said: str) -> str:
    """An answer without marks of emphasis and without a lead such as `The answer is`."""
    plain = said.strip(_EMPHASIS)
    lead = _LEAD.match(plain)
    return plain[lead.end() :].strip(_EMPHASIS) if lead else plain


def _grade_numbers(said: str, reference: str) -> float | None:
    """1.0 for equal numbers, 0.0 for unequal ones that are both whole, else None."""
    if not (_NUMBER.fullmatch(said) and _NUMBER.fullmatch(reference)):
        return None
    ours, theirs = (Decimal(text.replace(",", "")) for text in (said, reference))
    if ours == theirs:
        return 1.0
    return 0.0 if ours == ours.to_integral_value() and theirs == theirs.to_integral_value() else None
