"""Routers cross-validated side by side on one outcome table: what does not depend on outcomes is made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.encoders.windows import EncodedPrompts
from pipeline.evaluation.recommendation import parts_of
from pipeline.evaluation.reference_strategies import RememberedEmbedding
from pipeline.routers.base.protocol import Predictions, Scorer, gathered
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.router import TagsScorer
from pipeline.routers.tags.tagging import Tagged
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

SEED, FOLDS = 7, 3
_TAGGING = ("generator", "clusters", "surface", "phrases", "phrases_per_prompt")


class KeptEmbedding(RememberedEmbedding):
    """Reads each text once in a run, and keeps what it read in a file between runs."""

    path: Path | None = None

    @classmethod
    def of(cls, table: Path, folder: Path | None) -> KeptEmbedding:
        """The bundled encoder, with what an earlier run on this table kept in the folder."""
        made = cls("minilm", 128)
        made.path = folder / f"{table.stem}.npz" if folder else None
        if made.path is not None and made.path.is_file():
            made._recall(made.path)
        return made

    def embed(self, prompts: Sequence[str]) -> FloatMatrix:
        reading = self.read(prompts)
        return reading.vectors[reading.first]

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        return super().read(list(prompts))

    def keep(self) -> None:
        """Write what was read, where it is to be kept."""
        if self.path is None:
            return
        texts = list(self._readings)
        vectors = [self._readings[text][0] for text in texts]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            self.path,
            texts=np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8),
            vectors=np.concatenate(vectors),
            counts=np.array([len(parts) for parts in vectors]),
            tokens=np.array([self._readings[text][1] for text in texts]),
        )

    def _recall(self, path: Path) -> None:
        with np.load(path) as kept:
            texts = json.loads(kept["texts"].tobytes())
            vectors = np.split(kept["vectors"], np.cumsum(kept["counts"])[:-1])
            self._readings.update(zip(texts, zip(vectors, kept["tokens"].tolist(), strict=True), strict=True))


class CrossValidation:
    """One table, its folds, and what several routers share: vectors, and tags that do not depend on outcomes.

    `bar` is told of each fold that is done.
    """

    def __init__(self, outcomes: Outcomes, embedding: KeptEmbedding, bar: Any) -> None:
        if outcomes.folds is None:
            raise InputError("the table has no column 'fold'; add one with whole numbers")
        self.outcomes, self.embedding, self.bar = outcomes, embedding, bar
        self.parts = parts_of(outcomes, outcomes.folds)
        self.tagged: dict[Any, Tagged] = {}
        self.generator: TagGenerator | None = None

    def among(self, candidates: Sequence[str]) -> CrossValidation:
        """The same prompts, folds, vectors and tags, as if only these candidates were offered."""
        whole = self.outcomes
        columns = [whole.candidates.index(name) for name in candidates]
        few = replace(
            whole, candidates=tuple(candidates), quality=whole.quality[:, columns], cost=whole.cost[:, columns]
        )
        made = CrossValidation(few, self.embedding, self.bar)
        made.tagged, made.generator = self.tagged, self.generator
        return made

    def without_prefixes(self) -> list[str]:
        """The prompts without the beginnings that many of them share."""
        prefixes = shared_prefixes(self.outcomes.prompts)
        return [without_prefix(text, prefixes) for text in self.outcomes.prompts]

    def write_tags(self, generator: TagGenerator) -> None:
        """Have a language model write every prompt's tags, for the settings that name a generator."""
        self.generator = generator
        texts = self.without_prefixes()
        with tqdm(total=-(-len(texts) // 8), desc="writing tags", unit="batch") as bar:

            def written(_: str) -> None:
                bar.update()

            generator.tags(texts, written)

    def tags(self, params: TagsParams) -> TagsScorer:
        scorer = SharedTags(self.embedding, SEED, params)
        scorer.shared, scorer.generator = self.tagged, self.generator if params.generator else None
        return scorer

    def crossvalidated(self, label: str, make: Callable[[], Scorer]) -> tuple[Predictions, FloatMatrix]:
        """Predictions of every row, and for tags the bare sums."""
        made, bare = [], np.zeros(self.outcomes.quality.shape, np.float32)
        for part, rows in self.parts:
            self.bar.set_postfix_str(label, refresh=False)
            router = CalibratedRouter(make())
            router.fit(replace(part, datasets=None), inner_folds(part, FOLDS, SEED))
            prompts = [self.outcomes.prompts[i] for i in rows]
            made.append((rows, router.predict(prompts)))
            if isinstance(router.scorer, TagsScorer):
                tagging, evidence, _ = router.scorer._fitted()
                followed = router.followed(prompts)
                bare[rows] = evidence.sums(tagging.member(followed, self.embedding.embed(followed)))
            self.bar.update()
        return gathered(made), bare

    def quality(self, picks: Any) -> tuple[float, float]:
        """Mean quality over prompts and over data sets."""
        got = self.outcomes.quality[np.arange(len(picks)), picks].astype(np.float64)
        names = np.array(self.outcomes.datasets or ("",) * len(picks))
        return float(np.nanmean(got)), float(np.mean([np.nanmean(got[names == name]) for name in np.unique(names)]))


class SharedTags(TagsScorer):
    """Tags are mined once for the same prompts and settings, since no outcome has a say in them."""

    shared: dict[Any, Tagged]

    def _tagged(self, outcomes: Outcomes, vectors: FloatMatrix) -> Tagged:
        key = (hash(outcomes.prompts), *(getattr(self.params, name) for name in _TAGGING))
        if key not in self.shared:
            self.shared[key] = super()._tagged(outcomes, vectors)
        return self.shared[key]


def drawn(outcomes: Outcomes, count: int) -> Outcomes:
    """So many prompts at random, in the table's order."""
    return outcomes.rows(np.sort(np.random.default_rng(SEED).permutation(len(outcomes))[:count]))
