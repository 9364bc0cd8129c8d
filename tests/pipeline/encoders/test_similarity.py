"""The nearest other prompt is found, by block or not, and of a pair the later one is named."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.encoders import similarity as near_duplicates
from pipeline.encoders.similarity import embed_for_comparison, nearest
from pipeline.runtime.arrays import FloatMatrix

ASKED = "Book me a table for four at the harbour on Friday evening."


def _unit(rows: int, seed: int) -> FloatMatrix:
    vectors = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def vectors() -> FloatMatrix:
    return embed_for_comparison(
        [ASKED, "Book me a table for 4 at the harbour on friday evening", "Why does this join return doubles?", ASKED]
    )


def test_the_same_words_are_nearest_and_other_words_are_far(vectors: FloatMatrix) -> None:
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    rows, cosines = nearest(vectors[:1], vectors[1:])
    assert (rows[0], cosines[0]) == (2, pytest.approx(1.0, abs=1e-5))
    assert nearest(vectors[:1], vectors[1:2])[1][0] > 0.92
    assert nearest(vectors[:1], vectors[2:3])[1][0] < 0.5


def test_of_a_pair_the_later_is_found_and_the_first_stays(vectors: FloatMatrix) -> None:
    rows, cosines = nearest(vectors, vectors, earlier_only=True)
    assert rows.tolist()[:2] == [-1, 0]
    assert rows[3] == 0
    assert cosines[0] == 0.0
    assert cosines[3] == pytest.approx(1.0, abs=1e-5)


def test_with_nothing_to_compare_none_is_nearest(vectors: FloatMatrix) -> None:
    rows, cosines = nearest(vectors, vectors[:0])
    assert rows.tolist() == [-1] * 4
    assert cosines.tolist() == [0.0] * 4
    assert [len(found) for found in nearest(vectors[:0], vectors)] == [0, 0]


@pytest.mark.parametrize("earlier_only", [False, True])
def test_blocks_change_nothing(earlier_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = _unit(50, seed=1)
    others = queries if earlier_only else _unit(40, seed=2)
    whole = nearest(queries, others, earlier_only=earlier_only)
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    pieces = nearest(queries, others, earlier_only=earlier_only)
    assert (whole[0] == pieces[0]).all()
    assert whole[1] == pytest.approx(pieces[1], abs=1e-6)
    row = 30
    among = others[:row] if earlier_only else others
    assert whole[0][row] == int((among @ queries[row]).argmax())
