"""The training rows that an answer leads back to: their vectors as the serving encoder sees them, ids and labels.

No text is kept, but a vector says much of its text: erasing rows removes this file from a version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pipeline.encoders.engine_files import TRAINING_ROWS
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import VerificationFailed


@dataclass(frozen=True)
class TrainingNeighbour:
    """A training prompt near the one asked: its id leads back to a row, `agents` is the label it taught."""

    prompt_id: str
    agents: tuple[str, ...]
    cosine: float


@dataclass(frozen=True)
class TrainingIndex:
    """Unit vectors float32 [n, width], and each row's prompt id and label."""

    vectors: FloatMatrix
    prompt_ids: tuple[str, ...]
    agents: tuple[tuple[str, ...], ...]

    def nearest(self, vector: FloatMatrix, count: int) -> tuple[TrainingNeighbour, ...]:
        """The rows of highest cosine to a unit vector float32 [width], nearest first; ties by row order."""
        cosine = self.vectors @ vector
        count = min(count, len(cosine))
        if count == 0:
            return ()
        near = np.argpartition(-cosine, count - 1)[:count]
        near = near[np.lexsort((near, -cosine[near]))]
        return tuple(
            TrainingNeighbour(self.prompt_ids[row], self.agents[row], round(min(1.0, float(cosine[row])), 4))
            for row in near
        )

    def save(self, folder: Path) -> None:
        """Write them as one safetensors file; ids and labels stand in its header."""
        rows = json.dumps([self.prompt_ids, self.agents], separators=(",", ":"))
        save_file({"vectors": np.ascontiguousarray(self.vectors)}, folder / TRAINING_ROWS, metadata={"rows": rows})

    @classmethod
    def load(cls, folder: Path) -> TrainingIndex | None:
        """What `save` wrote; None where a version has no such file.

        Raises:
            VerificationFailed: the file is damaged.
        """
        path = folder / TRAINING_ROWS
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                ids, agents = json.loads(file.metadata()["rows"])
                return cls(file.get_tensor("vectors"), tuple(ids), tuple(map(tuple, agents)))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise VerificationFailed(f"{path} is damaged ({error}); restore it") from error


def training_index_of(
    vectors: FloatMatrix, prompt_ids: Sequence[str], agents: Sequence[tuple[str, ...]]
) -> TrainingIndex:
    """The index of these rows; vectors are brought to unit length."""
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return TrainingIndex(np.asarray(vectors / length, dtype=np.float32), tuple(prompt_ids), tuple(agents))
