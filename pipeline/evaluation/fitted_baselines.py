"""The learnt baselines that every evaluation of graded outcomes shows, fitted on what the router was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.windows import EncodedPrompts
from pipeline.evaluation.reference_strategies import Part
from pipeline.routers.base.protocol import Predictions, Scorer, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.baselines.clusters import ClustersScorer
from pipeline.routers.baselines.knn import KnnScorer
from pipeline.routers.baselines.linear import LinearScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.progress import Progress

LEARNT: dict[str, Callable[[FrozenEmbedding, int], Scorer]] = {
    "knn": lambda embedding, seed: KnnScorer(embedding),
    "linear": lambda embedding, seed: LinearScorer(embedding),
    "clusters": ClustersScorer,
}
"""From an embedding, which they share, and a seed to an unfitted scorer."""


class RememberedEmbedding(FrozenEmbedding):
    """A frozen embedding that keeps readings as well: several baselines on several folds read each prompt once."""

    def __init__(self, encoder: str, max_tokens: int) -> None:
        super().__init__(encoder, max_tokens)
        self._readings: dict[str, tuple[FloatMatrix, int]] = {}

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        new = list(dict.fromkeys(text for text in prompts if text not in self._readings))
        if new:
            reading = super().read(new)
            vectors = np.split(reading.vectors, reading.first[1:])
            self._readings.update(zip(new, zip(vectors, reading.tokens.tolist(), strict=True), strict=True))
        vectors = [self._readings[text][0] for text in prompts]
        counts = np.array([len(parts) for parts in vectors], dtype=np.int64)
        tokens = np.array([self._readings[text][1] for text in prompts], dtype=np.int64)
        return EncodedPrompts(np.concatenate(vectors), np.cumsum(counts) - counts, tokens)


def learnt_predictions(
    names: Sequence[str],
    outcomes: Outcomes,
    parts: Sequence[Part],
    params: FinetuningParams,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Predictions]:
    """For each name of LEARNT, what it predicts of every row after it was fitted on the part that is for that row."""
    embedding = RememberedEmbedding(params.encoder, params.max_tokens)
    found = {}
    for name in names:
        made = []
        for part, rows in parts:
            router = CalibratedRouter(LEARNT[name](embedding, seed))
            router.fit(replace(part, datasets=None), inner_folds(part, params.folds, seed))
            made.append((rows, router.predict([outcomes.prompts[i] for i in rows])))
            if progress:
                progress(name)
        found[name] = gathered(made)
    return found
