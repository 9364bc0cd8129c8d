"""Word TF-IDF: the vectorizer that the tfidf baseline and label-noise detection share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_NO_WORD = "\0"


def fitted_vectorizer(prompts: Sequence[str]) -> tuple[Any, Any]:
    """A vectorizer that knows these prompts' words, and what it makes of them, sparse float64 [n, words].

    Where no prompt has a word (emoji, a single sign), one that none has stands for all, and each is like any other.
    """
    words = new_vectorizer()
    try:
        return words, words.fit_transform(prompts)
    except ValueError:  # scikit-learn's "empty vocabulary"
        words = new_vectorizer({_NO_WORD: 0})
        return words, words.fit_transform(prompts)


def new_vectorizer(vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106 (a pattern)
        vocabulary=vocabulary,
        dtype=np.float64,
    )
