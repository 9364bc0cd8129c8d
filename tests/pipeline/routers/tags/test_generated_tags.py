"""Tags that a language model wrote as a source of tags: what an unknown one maps to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.routers.tags.generated_tags import GeneratedTags
from pipeline.routers.tags.vocabulary import Vocabulary
from pipeline.runtime.arrays import FloatMatrix

POINTS = {"math": (1.0, 0.0), "law": (0.0, 1.0), "algebra": (0.8, 0.6), "poetry": (-1.0, 0.0)}


def _embed(tags: Sequence[str]) -> FloatMatrix:
    return np.array([POINTS[tag] for tag in tags], dtype=np.float32)


def _source(similarity: float) -> GeneratedTags:
    written = {"known": ("math", "law"), "near": ("algebra",), "far": ("poetry",), "twice": ("math", "algebra")}
    return GeneratedTags(
        Vocabulary(("math", "law"), {"math": 0, "mathematic": 0, "law": 1}), _embed(("math", "law")), similarity,
        lambda prompts: [written[prompt] for prompt in prompts], _embed,
    )  # fmt: skip


def test_an_unknown_tag_maps_to_the_nearest_or_to_none() -> None:
    texts = ["known", "near", "far", "twice", "near"]
    assert _source(0.75).places(texts, np.zeros((5, 1))) == [[0, 1], [0], [], [0], [0]]
    assert _source(0.85).places(texts, np.zeros((5, 1))) == [[0, 1], [], [], [0], []]


def test_a_tag_that_the_encoder_could_not_read_is_nearest_to_none() -> None:
    source = _source(0.5)
    unread = GeneratedTags(
        source.vocabulary, np.array([[np.nan, np.nan], [0, 1]], np.float32), 0.5, source.write, _embed
    )
    assert unread.places(["near"], np.zeros((1, 1))) == [[1]]
