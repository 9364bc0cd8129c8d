"""The open vocabulary of tags, mined from the training prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.runtime.arrays import FloatMatrix, Indices

Embed = Callable[[Sequence[str]], FloatMatrix]
"""Phrases to unit vectors float32 [n, width]; a phrase that the encoder cannot read gets a row of NaN."""
MOST_COMMON = 0.1
"""A phrase of more than this share of the prompts says how they are put, not what they are about."""


@dataclass(frozen=True)
class Vocabulary:
    """Canonical tags, the most frequent first, and the phrases that mean each: `index[phrase]` is a tag's place."""

    tags: tuple[str, ...]
    index: dict[str, int]

    def find(self, phrases: Iterable[str]) -> list[int]:
        """The places of the tags that are among the phrases, each once, the rarest first."""
        return sorted({self.index[phrase] for phrase in phrases if phrase in self.index}, reverse=True)


def mine(
    phrases: Sequence[frozenset[str]],
    embed: Embed,
    least: int,
    most: int,
    similarity: float,
    most_common: float = MOST_COMMON,
) -> Vocabulary:
    """The vocabulary of prompts whose phrases are given.

    A phrase of fewer than `least` prompts is dropped, and so is one of more than a share `most_common` of them (unless
    that is fewer than twice `least`), and one that stands only inside a longer one. The `most` frequent are kept, and
    those whose vectors are near (DBSCAN with a cosine of `similarity`) are merged under the most frequent.
    """
    seen = Counter(phrase for found in phrases for phrase in found)
    common = max(most_common * len(phrases), 2 * least)
    counts = {phrase: n for phrase, n in seen.items() if least <= n <= common}
    inside = {part for phrase, n in counts.items() for part in _parts(phrase) if counts.get(part) == n}
    ordered = sorted(counts.keys() - inside, key=lambda phrase: (-counts[phrase], phrase))[:most]
    return merged(ordered, embed, similarity)


def _parts(phrase: str) -> set[str]:
    """The phrases that stand inside a phrase; of one without spaces, those of its characters."""
    units: Sequence[str] = phrase.split() if " " in phrase or phrase.isascii() else list(phrase)
    glue = " " if " " in phrase else ""
    spans = ((i, j) for i in range(len(units)) for j in range(i + 1, len(units) + 1) if j - i < len(units))
    return {glue.join(units[i:j]) for i, j in spans}


def merged(phrases: Sequence[str], embed: Embed, similarity: float) -> Vocabulary:
    """Phrases in order of falling frequency, near-synonyms merged under the first of them."""
    if not phrases:
        return Vocabulary((), {})
    groups = _groups(embed(phrases), similarity)
    tags: list[str] = []
    index: dict[str, int] = {}
    place: dict[int, int] = {}
    for phrase, group in zip(phrases, groups.tolist(), strict=True):
        if group not in place:
            place[group] = len(tags)
            tags.append(phrase)
        index[phrase] = place[group]
    return Vocabulary(tuple(tags), index)


def _groups(vectors: FloatMatrix, similarity: float) -> Indices:
    """The group of near-synonyms of each phrase, int64 [n]; a phrase without a vector is a group of its own."""
    from sklearn.cluster import DBSCAN

    groups = -np.arange(1, len(vectors) + 1)
    readable = np.flatnonzero(~np.isnan(vectors).any(axis=1))
    if len(readable):
        distance = float(np.sqrt(max(2 - 2 * similarity, 1e-12)))
        groups[readable] = DBSCAN(eps=distance, min_samples=1).fit_predict(vectors[readable])
    return np.asarray(groups, dtype=np.int64)
