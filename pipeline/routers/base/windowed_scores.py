"""What a scorer is asked of prompts that were read: each text beside each of its vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoders.windows import EncodedPrompts
from pipeline.routers.base.protocol import DetectsNewPrompts, KnowsUncertainty, Scorer
from pipeline.runtime.arrays import Binary, FloatMatrix, Values
from pipeline.runtime.errors import InputError


def scores_of(scorer: Scorer, prompts: Sequence[str], reading: EncodedPrompts | None, reduce: np.ufunc) -> FloatMatrix:
    """Scores float32 [n, c]; of a prompt too long for the encoder, of its parts by `EncodedPrompts.combine`."""
    scores = scorer.scores(*_views(prompts, reading))
    return scores if reading is None else reading.combine(scores, reduce)


def errors_of(scorer: Scorer, prompts: Sequence[str], reading: EncodedPrompts | None) -> Values:
    """Standard errors float64 [n, c]. A long prompt's windows err together, so that their mean errs by the mean.

    Raises:
        InputError: the system tells none.
    """
    if not isinstance(scorer, KnowsUncertainty):
        raise InputError(f"a {scorer.name} router tells no uncertainty, which its policy needs; fit it again")
    errors = scorer.uncertainty(*_views(prompts, reading))
    return errors if reading is None else reading.combine(errors, np.add)


def out_of_distribution(scorer: Scorer, prompts: Sequence[str], reading: EncodedPrompts | None) -> Binary | None:
    """Which prompts match no task, bool [n], long ones by their ends; None where the system cannot tell."""
    if not isinstance(scorer, DetectsNewPrompts):
        return None
    return scorer.is_new(prompts, _views(prompts, None)[1] if reading is None else reading.vectors[reading.first])


def _views(prompts: Sequence[str], reading: EncodedPrompts | None) -> tuple[Sequence[str], FloatMatrix]:
    """A text and a vector for each of m views, [n, 0] without a reading."""
    if reading is None:
        return prompts, np.zeros((len(prompts), 0), dtype=np.float32)
    texts = [text for text, count in zip(prompts, reading.counts, strict=True) for _ in range(count)]
    return texts, reading.vectors
