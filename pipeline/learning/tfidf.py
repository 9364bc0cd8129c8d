"""Word TF-IDF: the vectorizer that the tfidf baseline and label-noise detection share."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_vectorizer(vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106 (a pattern)
        vocabulary=vocabulary,
        dtype=np.float64,
    )
