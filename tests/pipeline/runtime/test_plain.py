"""Dataclasses as JSON and back: what is not known is null, and what is left out comes back as None."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import pytest

from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.runtime.plain import OMITTED, as_stored, parsed, plain


@dataclass(frozen=True)
class Facts:
    """Some facts."""

    name: str
    figures: dict[str, Estimate]
    ids: tuple[str, ...]
    note: str | None = field(default=None, metadata=OMITTED)


def test_facts_come_back_as_they_were() -> None:
    facts = Facts("a", {"x": Estimate(0.5, 0.4, 0.6)}, ("p", "q"))
    assert parsed(Facts, json.loads(json.dumps(plain(facts)))) == facts
    assert list(plain(facts)) == ["name", "figures", "ids"]
    assert plain(Facts("a", {}, (), "why"))["note"] == "why"


def test_what_is_not_known_is_null_and_nan_again() -> None:
    assert plain(UNKNOWN) == {"value": None, "low": None, "high": None}
    assert math.isnan(parsed(Estimate, plain(UNKNOWN)).value)
    assert plain({"x": [math.inf, 1.0]}) == {"x": [None, 1.0]}


def test_stored_keys_stand_in_the_order_of_the_file() -> None:
    assert list(as_stored(Estimate(1.0, 0.0, 2.0))) == ["high", "low", "value"]


def test_what_is_missing_or_of_another_type_is_an_error() -> None:
    for wrong in ({"value": 1.0}, {"value": "much", "low": 0.0, "high": 1.0}, None):
        with pytest.raises(ValueError):
            parsed(Estimate, wrong)
