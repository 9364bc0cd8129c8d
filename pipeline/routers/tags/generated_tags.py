"""Tags that a language model writes, as a source: known ones as they are, others as the nearest known one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.routers.tags.tag_sources import Places, Tensors
from pipeline.routers.tags.vocabulary import Embed, Vocabulary
from pipeline.runtime.arrays import FloatMatrix

Write = Callable[[Sequence[str]], Sequence[tuple[str, ...]]]
"""From prompts to tags in normal form, as `TagGenerator.tags` gives them."""


@dataclass(frozen=True)
class GeneratedTags:
    """A written tag counts as itself where it is known, else as the nearest known one, else as none.

    `vectors` float32 [tags, width] are the vocabulary's; nothing nearer than a cosine of `similarity` is none.
    """

    vocabulary: Vocabulary
    vectors: FloatMatrix
    similarity: float
    write: Write
    embed: Embed
    kind: str = "generated"

    @property
    def names(self) -> tuple[str, ...]:
        return self.vocabulary.tags

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        distinct = list(dict.fromkeys(texts))
        written = dict(zip(distinct, self.write(distinct), strict=True))
        known = self.vocabulary.index
        unknown = sorted({tag for tags in written.values() for tag in tags if tag not in known})
        near = self._nearest(unknown)
        found = {
            text: sorted({place for tag in tags if (place := known.get(tag, near.get(tag))) is not None})
            for text, tags in written.items()
        }
        return [found[text] for text in texts]

    def _nearest(self, tags: Sequence[str]) -> dict[str, int]:
        """The place of the known tag of highest cosine to each tag; none below `similarity`."""
        if not tags or not len(self.vectors):
            return {}
        cosine = np.nan_to_num(self.embed(tags) @ self.vectors.T, nan=-1.0)
        best = cosine.argmax(axis=1)
        return {tag: int(i) for tag, i, row in zip(tags, best, cosine, strict=True) if row[i] >= self.similarity}

    def tensors(self) -> Tensors:
        return {"vectors": self.vectors}

    def facts(self) -> dict[str, Any]:
        return {
            "class": "GeneratedTags",
            "index": self.vocabulary.index,
            "names": list(self.names),
            "similarity": self.similarity,
        }
