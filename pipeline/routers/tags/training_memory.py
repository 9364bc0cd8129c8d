"""What is remembered of the training prompts, so that a candidate can join without reading them again.

Of each prompt: a digest in place of its text, its tags, and how good the reference was on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from pipeline.routers.tags.tag_sources import Membership, Tensors
from pipeline.runtime.arrays import Indices, Values

_BYTES = 16
_NAMES = ("digests", "columns", "starts", "judge")


@dataclass(frozen=True)
class TrainingMemory:
    """n prompts: digests uint8 [n, 16], tags float64 [n, tags], the reference's quality float64 [n], NaN if untried."""

    digests: npt.NDArray[np.uint8]
    member: Membership
    reference_quality: Values

    @classmethod
    def of(cls, prompts: Sequence[str], member: Membership, reference_quality: Values) -> TrainingMemory:
        digests = np.frombuffer(b"".join(map(_digest, prompts)), dtype=np.uint8).reshape(len(prompts), _BYTES)
        return cls(digests, member, reference_quality)

    def rows(self, prompts: Sequence[str]) -> Indices:
        """Where each prompt stands, -1 for one that is not known."""
        place = {self.digests[row].tobytes(): row for row in range(len(self.digests))}
        return np.array([place.get(_digest(text), -1) for text in prompts], dtype=np.int64)

    def tensors(self) -> Tensors:
        return {
            "memory.digests": self.digests,
            "memory.columns": self.member.indices.astype(np.int32),
            "memory.starts": self.member.indptr.astype(np.int64),
            "memory.judge": self.reference_quality,
        }

    @classmethod
    def load(cls, tensors: Tensors, tags: int) -> TrainingMemory:
        digests, columns, starts, reference_quality = (tensors[f"memory.{name}"] for name in _NAMES)
        ones = np.ones(len(columns))
        return cls(
            digests, sparse.csr_matrix((ones, columns, starts), shape=(len(reference_quality), tags)), reference_quality
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_BYTES]
