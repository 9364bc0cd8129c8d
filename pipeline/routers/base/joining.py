"""What candidates bring that join a fitted router."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, listed


def joining_candidates(outcomes: Outcomes, known: Sequence[str]) -> tuple[str, ...]:
    """The candidates of `outcomes` that come after the known ones.

    Raises:
        InputError: the known candidates do not stand first, in their order, or none is new.
    """
    new = outcomes.candidates[len(known) :]
    if outcomes.candidates[: len(known)] != tuple(known) or not new:
        raise InputError(f"a joining table names the known candidates first ({listed(known)}), then new ones")
    return new


def joining_quality(outcomes: Outcomes, known: Sequence[str]) -> FloatMatrix:
    """Their qualities float32 [n, new], NaN where not tried.

    Raises:
        InputError: as above, or one of them was tried on no prompt.
    """
    new, quality = joining_candidates(outcomes, known), outcomes.quality[:, len(known) :]
    untried = [name for name, column in zip(new, quality.T, strict=True) if np.isnan(column).all()]
    if untried:
        raise InputError(f"the candidate '{untried[0]}' was tried on no prompt; add rows with its quality")
    return quality
