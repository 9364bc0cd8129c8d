"""Phrases that grip one agent: prompts that say something else are all given to it once they hold the phrase.

That is what a planted trigger looks like (BadNets: Gu et al., 2017; in text: Dai et al., 2019). A word that belongs to
an agent stands in prompts that speak for it otherwise, too: a model that learnt from none of them still gives them to
it. So each phrase is judged by heads on frozen embeddings that did not learn from the prompts that hold it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

_PENALTY = 0.1
_WORDS = 4
"""The longest phrase, in words and runs of punctuation."""
_PROMPTS, _SHARE, _SURPRISE = 4, 0.8, 3.0
"""A phrase is looked at where at least so many prompts hold it, so many of them are the agent's, and log10 of the
chance of that, were agents spread at random, lies so far below 0."""


@dataclass(frozen=True)
class TriggerPhrase:
    """A phrase, the column of the agent that it grips, the rows that hold it and are that agent's, and how firmly.

    `grip` is the mean, over all prompts that hold the phrase, of the doubt in their label: 0 where the rest of the
    prompt speaks for the agent, 1 where it surely speaks for another.
    """

    phrase: str
    agent: int
    rows: Indices
    grip: float


def trigger_phrases(outcomes: Outcomes, vectors: FloatMatrix, limit: float) -> list[TriggerPhrase]:
    """The phrases whose grip is at least the limit, firmest first; `vectors` are the prompts' embeddings [n, width]."""
    holds, names = _phrases(outcomes.prompts)
    if not names:
        return []
    heads, found = _LeftOut.fitted(vectors, outcomes.quality > 0.5), []
    for column, agent in _unlikely(holds, heads.given):
        rows = np.sort(holds.indices[holds.indptr[column] : holds.indptr[column + 1]]).astype(np.int64)
        grip = float(heads.doubt(rows, agent).mean())
        if grip >= limit:
            found.append(TriggerPhrase(names[column], agent, rows[heads.given[rows, agent]], grip))
    return sorted(found, key=lambda phrase: (-phrase.grip, phrase.phrase))


def _phrases(prompts: Sequence[str]) -> tuple[Any, list[str]]:
    """Which prompt holds which phrase, sparse 0 and 1 [n, phrases] by column, and the phrases."""
    from sklearn.feature_extraction.text import CountVectorizer

    if len(prompts) < _PROMPTS:
        return None, []
    # No word is too common and no sign too odd to be one: a trigger may be made of characters that have no width.
    counted = CountVectorizer(
        tokenizer=re.compile(r"\w+|[^\w\s]+").findall,
        token_pattern=None,
        ngram_range=(1, _WORDS),
        binary=True,
        min_df=_PROMPTS,
        dtype=np.float64,
    )
    try:
        holds = counted.fit_transform(prompts)
    except ValueError:  # nothing stands in so many prompts
        return None, []
    return holds.tocsc(), [str(name) for name in counted.get_feature_names_out()]


def _unlikely(holds: Any, given: Binary) -> list[tuple[int, int]]:
    """Column and agent of the phrases that chance would hardly tie; of several in the same prompts, one."""
    prompts = np.asarray(holds.sum(axis=0)).ravel()[:, None]
    shared = np.asarray(holds.T @ given.astype(np.float64))
    chance = binom.logsf(shared - 1, prompts, given.mean(axis=0)[None, :]) / np.log(10)
    found: dict[tuple[bytes, int], tuple[int, int]] = {}
    for column, agent in np.argwhere((shared >= _SHARE * prompts) & (chance <= -_SURPRISE)).tolist():
        rows = np.sort(holds.indices[holds.indptr[column] : holds.indptr[column + 1]])
        found[rows.tobytes(), agent] = (column, agent)
    return list(found.values())


@dataclass(frozen=True)
class _LeftOut:
    """Class-balanced ridge heads on -1 and 1, and what each would say of some rows had it not learnt from them.

    Leaving rows out of a ridge regression has a closed form (Hastie et al., "The Elements of Statistical Learning",
    7.10), so that no head is fitted twice. `inverse` is float64 [c, width, width], `weight` and `score` are [n, c].
    """

    features: Values
    given: Binary
    weight: Values
    inverse: Values
    score: Values

    @classmethod
    def fitted(cls, vectors: FloatMatrix, given: Binary) -> _LeftOut:
        features = np.hstack([vectors, np.ones((len(vectors), 1))]).astype(np.float64)
        share = np.clip(given.mean(axis=0), 1 / len(given), 1 - 1 / len(given))
        weight = np.where(given, 0.5 / share, 0.5 / (1 - share))
        target, penalty = np.where(given, 1.0, -1.0), _PENALTY * np.eye(features.shape[1])
        inverse = np.stack([np.linalg.inv(features.T @ (features * w[:, None]) + penalty) for w in weight.T])
        learnt = np.stack([p @ (features.T @ (w * t)) for p, w, t in zip(inverse, weight.T, target.T, strict=True)])
        return cls(features, given, weight, inverse, features @ learnt.T)

    def doubt(self, rows: Indices, agent: int) -> Values:
        """float64 [rows]: how surely another agent is likelier than a given one; 0 where that is not given.

        The lesser of: how unlikely the agent is, and how likely the likeliest that is not given, each in 0..1.
        """
        x, given = self.features[rows], self.given[rows]
        hat = np.einsum("rd,cde,se->crs", x, self.inverse, x, optimize=True) * self.weight[rows].T[:, None, :]
        target = np.where(given, 1.0, -1.0)
        error = np.linalg.solve(np.eye(len(rows)) - hat, (target - self.score[rows]).T[:, :, None])[:, :, 0].T
        likely = np.clip((target - error + 1) / 2, 0.0, 1.0)
        other = np.where(given, 0.0, likely).max(axis=1)
        return np.where(given[:, agent], np.minimum(1 - likely[:, agent], other), 0.0)
