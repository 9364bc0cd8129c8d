"""What is remembered is counted in bytes, however many there are and however large one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.runtime.byte_cache import ByteCache, bytes_of


@dataclass(frozen=True)
class Row:
    name: str
    numbers: object


@pytest.mark.parametrize("wide", ["a", "\u0159", "\U0001f600"])
def test_large_values_take_the_place_of_many_small_ones(wide: str) -> None:
    cache: ByteCache[int, str] = ByteCache(1_000_000)
    for number in range(2000):
        cache.put(number, f"{number}")
    many = len(cache)
    for number in range(2000, 2600):
        cache.put(number, wide * 100_000)
        assert cache.bytes <= 1_000_000
    assert 2 <= len(cache) < many
    assert cache.get(2599) == wide * 100_000


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    cache: ByteCache[str, str] = ByteCache(1000)
    cache.put("a", "1")
    cache.put("b", "2")
    cache.get("a")
    for number in range(2):
        cache.put(f"c{number}", "3")
    assert (cache.get("a"), cache.get("b")) == ("1", None)
    assert cache.take("a") == "1"
    assert cache.get("a") is None


def test_a_value_that_alone_is_too_large_is_not_kept_unless_the_newest_is() -> None:
    for keeps_newest in (False, True):
        cache: ByteCache[int, str] = ByteCache(1000, keeps_newest)
        cache.put(1, "small")
        cache.put(2, "x" * 5000)
        assert (cache.get(1), cache.get(2) is not None) == (None, keeps_newest)
        cache.put(3, "small")
        assert (cache.get(2), cache.get(3)) == (None, "small")
    assert cache.bytes <= 1000
    cache.put(3, "small")
    assert len(cache) == 1


def test_everything_in_a_value_counts_once_and_what_it_leads_to_beyond_does_not() -> None:
    text, array = "x" * 10_000, np.zeros(1000)
    assert 10_000 < bytes_of([text, text, (text,)]) < 11_000
    assert 18_000 < bytes_of(Row(text, {"a": [array]})) < 19_500
    assert bytes_of(lambda: text) < 1000
