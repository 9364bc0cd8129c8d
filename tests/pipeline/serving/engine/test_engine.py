"""The engine remembers the latest texts, in as many bytes as it may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_service import AGENTS, ASKED

from pipeline.serving.engine.engine import Engine


@pytest.fixture
def engine(two_routers: dict[str, Path]) -> Engine:
    return Engine.load(two_routers["1"], cache_bytes=100_000)


def test_a_long_text_that_is_remembered_takes_no_more_than_a_short_one(engine: Engine) -> None:
    engine.score([ASKED])
    short = engine._cache.bytes
    engine.score([f"{ASKED} \U0001f600" + " and so on" * 10_000])
    assert engine._cache.bytes == 2 * short


def test_however_many_are_asked_no_more_than_its_bytes_are_remembered(engine: Engine) -> None:
    for number in range(300):
        engine.score([f"{ASKED} {number}", f"mail {number}"])
        assert engine._cache.bytes <= 100_000
    assert 50 < len(engine._cache) < 300
    assert engine.cached("mail 299") is not None
    assert engine.cached("mail 0") is None


def test_what_is_remembered_is_its_own_and_no_part_of_a_batch(engine: Engine) -> None:
    for one in engine.score([f"{ASKED} {number}" for number in range(20)]):
        assert one.quality.shape == (len(AGENTS),)
        assert one.quality.base is None
        assert one.cost.base is None


def test_half_a_surrogate_pair_is_not_remembered_and_breaks_nothing(engine: Engine) -> None:
    assert engine.cached("\ud800") is None
    assert np.isfinite(engine.score([ASKED])[0].quality).all()
