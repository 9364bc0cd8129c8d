"""Words of prompts: what is made of those that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.outcomes import Outcomes
from pipeline.learning.tfidf import fitted_vectorizer
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import fit_router
from pipeline.routers.systems import open_router


def test_words_are_weighted_by_how_rare_they_are() -> None:
    vectorizer, features = fitted_vectorizer(["sum of it", "sum of them", "sum them"])
    weights = dict(zip(vectorizer.get_feature_names_out(), features.toarray()[0], strict=True))
    assert weights["it"] > weights["of"] > weights["sum"] > 0


@pytest.mark.parametrize("prompts", [("\U0001f44d", "hello"), ("\U0001f44d", "!?"), ("...", "-")])
def test_a_prompt_without_a_word_is_like_any_other(prompts: tuple[str, ...], tmp_path: Path) -> None:
    """A fold of nothing but such prompts ends no fit."""
    quality = np.eye(2, dtype=np.float32)
    outcomes = Outcomes(("a", "b"), prompts, ("x", "y"), quality, np.full_like(quality, np.nan), is_labels=True)
    router = fit_router("tfidf", outcomes, FinetuningParams(), 0)
    router.save(tmp_path / "router")
    asked = [*prompts, "something else"]
    found = router.predict(asked).quality
    assert np.isfinite(found).all()
    assert (open_router(tmp_path / "router").predict(asked).quality == found).all()
