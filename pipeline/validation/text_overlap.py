"""How much of a held-out prompt stands in another, whatever is put around it and however its letters are disguised.

A prompt is the set of character n-grams of its skeleton, so that typos cost a few of them, and lookalikes, case,
spacing and punctuation none. The measure is containment (Broder, "On the resemblance and containment of documents",
1997), not likeness: a long prompt around a held-out one is no more like it than like others. An n-gram counts by the
square of its inverse document frequency, as in a cosine of TF-IDF: what many prompts share, such as a benchmark's
instruction, says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.text import skeleton

LENGTH = 4
_BLOCK = 1024
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHORT, _LONGER = 20, 1.5
"""Of fewer letters a prompt is a phrase that longer ones hold by chance: it counts for those up to so much longer."""


def holdout_overlap(prompts: Sequence[str], held_out: Sequence[str]) -> tuple[Indices, FloatMatrix]:
    """For each prompt the held-out one of which it holds most, int64 [n], and how much, float32 [n] in 0..1.

    -1 and 0 where it holds nothing of any.
    """
    rows, shares = np.full(len(prompts), -1, dtype=np.int64), np.zeros(len(prompts), dtype=np.float32)
    texts = [skeleton(text) for text in (*held_out, *prompts)]
    ours = len(held_out)
    if not ours or not len(prompts) or not any(len(text) >= LENGTH for text in texts[:ours]):
        return rows, shares
    found = _incidence(texts, ours)
    weight = np.log((1 + len(texts)) / found.sum(axis=0).A1) ** 2
    parts = found[:ours].multiply(weight).tocsr()
    whole = np.maximum(parts.sum(axis=1).A1, np.finfo(np.float64).tiny)
    length = np.array([len(text) for text in texts], dtype=np.float64)
    most = np.where(length[:ours] < _SHORT, _LONGER * length[:ours], np.inf)
    for start in range(0, len(prompts), _BLOCK):
        block = slice(ours + start, ours + start + _BLOCK)
        held = (found[block] @ parts.T).toarray() / whole
        held[length[block, None] > most] = 0.0
        best = held.argmax(axis=1)
        share = held[np.arange(len(best)), best]
        rows[start : start + len(best)] = np.where(share > 0, best, -1)
        shares[start : start + len(best)] = np.minimum(share, 1.0)
    return rows, shares


def _incidence(texts: Sequence[str], ours: int) -> Any:
    """Which text has which n-gram of the first `ours`: a sparse matrix of 0 and 1, float64 [texts, n-grams]."""
    from scipy.sparse import csr_matrix

    row, code = _ngrams(texts)
    known = np.unique(code[row < ours])
    column = np.minimum(np.searchsorted(known, code), len(known) - 1)
    shared = known[column] == code
    found = csr_matrix((np.ones(shared.sum()), (row[shared], column[shared])), shape=(len(texts), len(known)))
    found.data[:] = 1.0
    return found


def _ngrams(texts: Sequence[str]) -> tuple[Indices, npt.NDArray[np.uint64]]:
    """The text and the hash of each n-gram, one after another."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    count = max(0, len(letters) - LENGTH + 1)
    code = np.zeros(count, dtype=np.uint64)
    for place in range(LENGTH):
        code = (code + letters[place : place + count]) * _MIX
        code ^= code >> np.uint64(29)
    inside = row[:count] == row[LENGTH - 1 :]
    return row[:count][inside], code[inside]
