"""How a long prompt is cut, and how its parts are joined."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from pipeline.encoders.windows import ContextWindow, EncodedPrompts, TextEncoder
from pipeline.runtime.arrays import FloatMatrix

ROOM = ContextWindow(tokens=12, before=1, after=1)


def _ids(body: int) -> list[int]:
    return [101, *range(1000, 1000 + body), 102]


@pytest.mark.parametrize(
    ("empty", "letter", "expected"),
    [([101, 102], [101, 5, 102], (1, 1)), ([], [5], (0, 0)), ([2], [5, 2], (0, 1)), ([1], [1, 5], (1, 0))],
)
def test_special_tokens_before_and_after_are_told_apart(
    empty: list[int], letter: list[int], expected: tuple[int, int]
) -> None:
    room = ContextWindow.measured(12, empty, letter)
    assert (room.before, room.after) == expected


def test_a_prompt_that_fits_is_one_view() -> None:
    assert list(ROOM.views(_ids(10))) == [_ids(10)]


@pytest.mark.parametrize("body", [11, 12, 17, 18, 19, 20, 100, 1003])
def test_windows_overlap_and_leave_no_token_out(body: int) -> None:
    ends, *windows = ROOM.views(_ids(body))
    assert len(ends) == 12
    assert ends[:6] == _ids(body)[:6]
    assert ends[6:] == _ids(body)[-6:]
    inner = [window[1:-1] for window in windows]
    assert all(window[0] == 101 and window[-1] == 102 and len(window) <= 12 for window in windows)
    assert {token for part in inner for token in part} == set(_ids(body)[1:-1])
    assert all(set(a) & set(b) for a, b in pairwise(inner))
    assert len(windows) == -(-(body - 10) // 8) + 1


def _reading(counts: list[int]) -> EncodedPrompts:
    first = np.cumsum(counts) - counts
    return EncodedPrompts(np.zeros((sum(counts), 2), np.float32), first, np.array(counts))


def test_ends_and_windows_count_half_each() -> None:
    reading = _reading([1, 4, 1])
    scores = np.array([[1, 2], [0, 4], [5, 1], [3, 1], [1, 1], [7, 8]], dtype=np.float32)
    assert reading.combine(scores, np.maximum).tolist() == [[1, 2], [2.5, 2.5], [7, 8]]
    assert reading.combine(scores, np.add).tolist() == [[1, 2], [1.5, 2.5], [7, 8]]
    assert reading.windows.tolist() == [1, 3, 1]


class _Letters(TextEncoder):
    """A token a letter, none for others; its vectors count tokens."""

    room = ROOM

    def ids(self, prompts: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text if letter.isalpha()] for text in prompts]

    def vectors(self, tokens: Sequence[list[int]]) -> FloatMatrix:
        return np.array([[len(ids), ids[0]] for ids in tokens], dtype=np.float32)


def test_a_prompt_of_which_a_tokenizer_makes_nothing_has_a_vector() -> None:
    assert _Letters().embed(["ab", "", "!?"]).tolist() == [[2, ord("a")], [1, 0], [1, 0]]
    reading = _Letters().read(["", "ab"])
    assert reading.vectors.tolist() == [[1, 0], [2, ord("a")]]
    assert reading.counts.tolist() == [1, 1]
