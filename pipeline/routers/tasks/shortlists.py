"""Which candidates a task's prompts prefer."""

from __future__ import annotations

import numpy as np

from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

COVERED = 0.8
_TIE = 1e-6


def shortlists(quality: FloatMatrix, task: Indices, means: Values, covered: float = COVERED) -> Binary:
    """bool [tasks, c]: the most preferred, until they have a share `covered` of what a task's prompts prefer.

    Candidates that are tied for the best answer share the prompt. Where all are tied, none is preferred, and the prompt
    does not count. The candidate with the highest mean is always in.
    """
    known = ~np.isnan(quality)
    filled = np.where(known, quality, -1).astype(np.float64)
    best = known & (filled >= filled.max(axis=1, keepdims=True) - _TIE)
    prefers = best.sum(axis=1) < known.sum(axis=1)
    shared = best * (prefers / np.maximum(best.sum(axis=1), 1))[:, None]
    preferred = np.zeros(means.shape)
    np.add.at(preferred, task, shared)
    preferred /= np.maximum(preferred.sum(axis=1, keepdims=True), 1e-9)
    order = np.lexsort((-means, -preferred), axis=1)
    before = np.cumsum(np.take_along_axis(preferred, order, axis=1), axis=1)
    before = np.hstack([np.zeros((len(means), 1)), before[:, :-1]])
    found = np.zeros(means.shape, dtype=np.bool_)
    np.put_along_axis(found, order, before < covered - _TIE, axis=1)
    found[preferred == 0] = False
    found[np.arange(len(means)), means.argmax(axis=1)] = True
    return found
