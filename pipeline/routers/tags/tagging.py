"""All kinds of tags together: fitted on the training prompts without their outcomes, then assigned to any prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse

from pipeline.routers.base.settings import TagsParams
from pipeline.routers.tags.generated_tags import GeneratedTags, Write
from pipeline.routers.tags.scores import TagKinds
from pipeline.routers.tags.tag_sources import (
    ClusterTags,
    Membership,
    PhraseTags,
    SurfaceTags,
    TagSource,
    Tensors,
    TopicTags,
    membership,
    source_of,
)
from pipeline.routers.tags.vocabulary import Embed, Vocabulary, mine
from pipeline.routers.text.key_phrases import key_phrases
from pipeline.routers.text.surface_tags import surface_tags
from pipeline.runtime.arrays import FloatMatrix

_PROMPTS_A_CLUSTER = 5


@dataclass(frozen=True)
class Tagging:
    """The sources of tags in a fixed order; `mean_tags` is how many a training prompt had."""

    sources: tuple[TagSource, ...]
    mean_tags: float

    @property
    def names(self) -> tuple[str, ...]:
        """Every tag, as `kind: name`."""
        return tuple(f"{source.kind}: {name}" for source in self.sources for name in source.names)

    @property
    def kinds(self) -> TagKinds:
        sizes = [len(source.names) for source in self.sources]
        return TagKinds(np.repeat(np.arange(len(sizes)), sizes), len(sizes), self.mean_tags)

    def member(self, texts: Sequence[str], vectors: FloatMatrix) -> Membership:
        """Which prompt has which tag, float64 [n, tags], from texts and their vectors [n, width]."""
        if not self.sources:
            return sparse.csr_matrix((len(texts), 0))
        blocks = [membership(source.places(texts, vectors), len(source.names)) for source in self.sources]
        return sparse.hstack(blocks, format="csr")

    def tensors(self) -> Tensors:
        return {
            f"source.{i}.{name}": np.ascontiguousarray(tensor)
            for i, source in enumerate(self.sources)
            for name, tensor in source.tensors().items()
        }

    def facts(self) -> dict[str, Any]:
        return {"mean_tags": self.mean_tags, "sources": [source.facts() for source in self.sources]}

    @classmethod
    def load(cls, facts: dict[str, Any], tensors: Tensors, write: Write, embed: Embed) -> Tagging:
        """The inverse of `facts` and `tensors`."""
        sources: list[TagSource] = []
        for i, about in enumerate(facts["sources"]):
            start = f"source.{i}."
            own = {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}
            if about["class"] == "GeneratedTags":
                known = Vocabulary(tuple(about["names"]), {str(k): int(v) for k, v in about["index"].items()})
                sources.append(GeneratedTags(known, own["vectors"], float(about["similarity"]), write, embed))
            else:
                sources.append(source_of(about, own))
        return cls(tuple(sources), float(facts["mean_tags"]))


Tagged = tuple[Tagging, Membership]
"""Fitted sources and the tags of the prompts that they were fitted on."""


def fit_tagging(
    prompts: Sequence[str], vectors: FloatMatrix, params: TagsParams, seed: int, write: Write | None, embed: Embed
) -> Tagged:
    """Sources as the settings ask for them, and the prompts' own tags; one that finds no tag is left out.

    Where `write` is given, tags that a language model writes take the place of phrases.
    """
    texts = list(prompts)
    sources = [*_clusters(vectors, params, seed)]
    if params.surface:
        sources += _surface(texts, params)
    if write is not None:
        sources += _generated(texts, params, write, embed)
    elif params.phrases:
        sources += _phrases(texts, vectors, params, embed)
    member = Tagging(tuple(sources), 0.0).member(texts, vectors)
    return Tagging(tuple(sources), float(member.nnz) / max(len(texts), 1)), member


def _clusters(vectors: FloatMatrix, params: TagsParams, seed: int) -> Iterator[TagSource]:
    """One source for each number of clusters that leaves at least five distinct prompts a cluster, else one of 1."""
    distinct = len(np.unique(vectors, axis=0))
    counts = sorted({count for count in params.clusters if count * _PROMPTS_A_CLUSTER <= distinct})
    for count in counts or ([1] if params.clusters else []):
        yield ClusterTags.fit(vectors, count, seed)


def _surface(texts: Sequence[str], params: TagsParams) -> Iterator[TagSource]:
    seen = Counter(tag for text in texts for tag in surface_tags(text))
    names = tuple(sorted(tag for tag, n in seen.items() if n >= params.least_prompts))
    if names:
        yield SurfaceTags(names)


def _phrases(texts: Sequence[str], vectors: FloatMatrix, params: TagsParams, embed: Embed) -> Iterator[TagSource]:
    found = [key_phrases(text) for text in texts]
    vocabulary = mine(found, embed, params.least_prompts, params.most_tags, params.synonym_similarity)
    if not vocabulary.tags:
        return
    yield PhraseTags(vocabulary, params.phrases_per_prompt)
    member = membership([vocabulary.find(phrases) for phrases in found], len(vocabulary.tags))
    yield TopicTags.fit(vocabulary.tags, member, vectors, params.phrases_per_prompt)


def _generated(texts: Sequence[str], params: TagsParams, write: Write, embed: Embed) -> Iterator[TagSource]:
    written = [frozenset(tags) for tags in write(texts)]
    vocabulary = mine(
        written, embed, params.least_prompts, params.most_tags, params.synonym_similarity, most_common=1.0
    )
    if vocabulary.tags:
        yield GeneratedTags(vocabulary, embed(vocabulary.tags), params.generated_similarity, write, embed)
