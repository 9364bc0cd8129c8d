"""From prompts to tags, one class a kind of tag. Each is fitted without outcomes, and assigns several tags a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sparse

from pipeline.routers.baselines.clusters import k_means, nearest_centre
from pipeline.routers.tags.vocabulary import Vocabulary
from pipeline.routers.text.key_phrases import key_phrases
from pipeline.routers.text.surface_tags import surface_tags
from pipeline.runtime.arrays import FloatMatrix

Tensors = dict[str, Any]
"""Arrays by name, as safetensors holds them."""
Places = Sequence[Sequence[int]]
"""For each prompt the places of its tags."""
Membership = Any
"""Which prompt has which tag: a scipy csr_matrix of ones, float64 [n, tags]."""
_RIDGE = 3.0


class TagSource(Protocol):
    """One kind of tag. `names` are its tags; `kind` is written before them."""

    @property
    def kind(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        """Which tags each text and its vector [n, width] have."""

    def tensors(self) -> Tensors: ...

    def facts(self) -> dict[str, Any]:
        """What `tensors` does not hold, as JSON; its key `class` tells `source_of` what to make."""


def membership(places: Places, width: int) -> Membership:
    """A one for each tag of each prompt, float64 [n, width]."""
    indptr = np.cumsum([0, *map(len, places)])
    columns = np.array([tag for tags in places for tag in tags], dtype=np.int64)
    return sparse.csr_matrix((np.ones(len(columns)), columns, indptr), shape=(len(places), width))


def for_each(texts: Sequence[str], places: Callable[[str], Sequence[int]]) -> Places:
    """The places for each text; a text that stands several times, once a window, is looked at once."""
    found = {text: places(text) for text in dict.fromkeys(texts)}
    return [found[text] for text in texts]


@dataclass(frozen=True)
class ClusterTags:
    """The nearest of k centres of the training prompts' vectors."""

    centres: FloatMatrix
    kind: str = field(init=False)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", f"cluster of {len(self.centres)}")
        object.__setattr__(self, "names", tuple(map(str, range(len(self.centres)))))

    @classmethod
    def fit(cls, vectors: FloatMatrix, count: int, seed: int) -> ClusterTags:
        """k-means; `count` at most as many as vectors differ."""
        return cls(k_means(vectors, count, seed))

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        nearest: list[list[int]] = nearest_centre(vectors, self.centres)[:, None].tolist()
        return nearest

    def tensors(self) -> Tensors:
        return {"centres": self.centres}

    def facts(self) -> dict[str, Any]:
        return {"class": "ClusterTags"}


@dataclass(frozen=True)
class SurfaceTags:
    """What the text shows: see `surface_tags`. Only tags that enough training prompts had are known."""

    names: tuple[str, ...]
    kind: str = "surface"

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        place = {name: i for i, name in enumerate(self.names)}
        return for_each(texts, lambda text: [place[tag] for tag in surface_tags(text) if tag in place])

    def tensors(self) -> Tensors:
        return {}

    def facts(self) -> dict[str, Any]:
        return {"class": "SurfaceTags", "names": list(self.names)}


@dataclass(frozen=True)
class PhraseTags:
    """The tags of the vocabulary that stand in the text, at most `most` of them, the rarest first."""

    vocabulary: Vocabulary
    most: int
    kind: str = "phrase"

    @property
    def names(self) -> tuple[str, ...]:
        return self.vocabulary.tags

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        return for_each(texts, lambda text: self.vocabulary.find(key_phrases(text))[: self.most])

    def tensors(self) -> Tensors:
        return {}

    def facts(self) -> dict[str, Any]:
        return {"class": "PhraseTags", "index": self.vocabulary.index, "names": list(self.names), "most": self.most}


@dataclass(frozen=True)
class TopicTags:
    """The tags of the vocabulary that a multi-label model expects most above their share, from the vector alone.

    A prompt about a thing gets its tag whatever words it uses. `weights` float32 [width + 1, tags] is a ridge
    regression of the training prompts' phrase tags, divided by each tag's standard deviation.
    """

    names: tuple[str, ...]
    weights: FloatMatrix
    most: int
    kind: str = "topic"

    @classmethod
    def fit(cls, names: tuple[str, ...], member: Membership, vectors: FloatMatrix, most: int) -> TopicTags:
        """Learn from which prompts [n, tags] have which phrase."""
        design = np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])
        share = np.asarray(member.mean(axis=0)).ravel()
        gram = design.T @ design + _RIDGE * np.eye(design.shape[1])
        weights = np.linalg.solve(gram, np.asarray((member.T @ design).T))
        weights[-1] -= share
        weights /= np.sqrt(np.maximum(share * (1 - share), 1e-9))
        return cls(names, np.ascontiguousarray(weights, dtype=np.float32), most)

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        strength = vectors @ self.weights[:-1] + self.weights[-1]
        most = min(self.most, strength.shape[1])
        top = np.sort(np.argpartition(-strength, most - 1, axis=1)[:, :most], axis=1) if most else strength
        return [[int(tag) for tag in tags] for tags in top]

    def tensors(self) -> Tensors:
        return {"weights": self.weights}

    def facts(self) -> dict[str, Any]:
        return {"class": "TopicTags", "names": list(self.names), "most": self.most}


def source_of(facts: dict[str, Any], tensors: Tensors) -> TagSource:
    """The inverse of a source's `facts` and `tensors`; of the kinds that need no language model."""
    name = facts["class"]
    if name == "ClusterTags":
        return ClusterTags(tensors["centres"])
    names = tuple(map(str, facts["names"]))
    if name == "SurfaceTags":
        return SurfaceTags(names)
    if name == "PhraseTags":
        return PhraseTags(Vocabulary(names, {str(k): int(v) for k, v in facts["index"].items()}), int(facts["most"]))
    if name == "TopicTags":
        return TopicTags(names, tensors["weights"], int(facts["most"]))
    raise ValueError(f"unknown kind of tag '{name}'")
