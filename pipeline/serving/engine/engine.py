"""The engine: one loaded version, asked for scores. It remembers the latest texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.data.prompt_text import fault_in_text
from pipeline.encoders.engine_files import ENGINE
from pipeline.encoders.onnx_encoder import INT8, OnnxEncoder
from pipeline.encoders.training_index import TrainingIndex
from pipeline.policies.policy import Policy
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.errors import InputError
from pipeline.serving.engine.batching import Batcher
from pipeline.serving.engine.pool_file import PoolFile
from pipeline.serving.engine.scored import ScoredText

NEAREST = 5
CACHE_BYTES = 32_000_000
TORCH, NO_ENCODER = "torch", "none"


class Engine:
    """Scores prompts with one router of any system. Safe to call from several threads.

    Law: a prompt's scores are the same alone, in any batch, and from the cache. So an encoder in int8, whose scales
    depend on all that is in a call, reads one prompt a call; others read in batches what is asked at the same time.
    """

    def __init__(
        self,
        router: CalibratedRouter,
        rows: TrainingIndex | None = None,
        cache_bytes: int = CACHE_BYTES,
        pool: PoolFile | None = None,
    ) -> None:
        self.router = router
        self.rows = rows
        self.pool = pool
        # By digest, so that what is remembered of a long text is no longer than of a short one.
        self._cache: ByteCache[bytes, ScoredText] = ByteCache(cache_bytes)
        # Dynamic int8 takes its scales from all that is in a call: a neighbour in it would change a prompt's scores.
        self._score_new = self._compute if self.precision == INT8 else Batcher(self._compute)

    @classmethod
    def load(
        cls, folder: Path, threads: int = 1, cache_bytes: int = CACHE_BYTES, pool: PoolFile | None = None
    ) -> Engine:
        """Load a router's folder (a version's `model/`, or one made by `fit`); `threads` are CPU threads.

        Raises:
            InputError: the folder holds no router of a known system, or the pool does not know one of its candidates.
            VerificationFailed: it is damaged, or of a format that this release does not read.
        """
        from pipeline.routers.systems import open_router

        router = open_router(folder, threads=threads)
        if pool is not None:
            pool.of(router.candidates)
        return cls(router, TrainingIndex.load(folder / ENGINE), cache_bytes, pool)

    @property
    def candidates(self) -> tuple[str, ...]:
        return self.router.candidates

    @property
    def policy(self) -> Policy:
        """The policy that was chosen in training and stored with the version."""
        return self.router.policy

    @property
    def precision(self) -> str:
        """`int8` or `fp32` of an optimised encoder; `torch` without one; `none` for a system that has no encoder."""
        embedding = self.router.scorer.embedding
        if isinstance(embedding, OnnxEncoder):
            return embedding.precision
        return NO_ENCODER if embedding is None else TORCH

    def cached(self, prompt: str) -> ScoredText | None:
        """The scores of a text met lately, or None; takes microseconds."""
        return self._cache.get(_digest(prompt))

    def score(self, prompts: Sequence[str]) -> list[ScoredText]:
        """Scores of each prompt, in the order given; texts met lately come from the cache.

        Raises:
            InputError: a prompt is no text that UTF-8 can hold.
        """
        found = {text: scored for text in dict.fromkeys(prompts) if (scored := self.cached(text)) is not None}
        new = [text for text in dict.fromkeys(prompts) if text not in found]
        # Two threads may compute one text, with equal results.
        if new:
            _require_text(new)
            found |= zip(new, self._score_new(new), strict=True)
            for text in new:
                self._cache.put(_digest(text), found[text])
        return [found[text] for text in prompts]

    def explain(self, prompt: str) -> dict[str, Any] | None:
        """See `CalibratedRouter.explain`."""
        return self.router.explain(prompt)

    def offered(self, prompt: str, scored: ScoredText, labels: Collection[str] = ()) -> ScoredText:
        """A prompt's scores on the pool's terms of this moment: its prices, and whom it lets answer.

        Raises:
            InputError: there are labels, and no pool that says who may not be sent them.
        """
        if self.pool is None and not labels:
            return scored
        pool = None if self.pool is None else self.pool.of(self.candidates)
        terms = self.router.terms([prompt], pool, [labels])
        return replace(scored, cost=terms.cost[0], allowed=None if terms.allowed is None else terms.allowed[0])

    def _compute(self, prompts: Sequence[str]) -> list[ScoredText]:
        """Scores, nearest training prompts and the rest of `ScoredText` for texts that are not in the cache."""
        reading = self.router.read(prompts)
        judged = self.router.judge(prompts, reading)
        # Copies: a row that is remembered must not keep the whole batch.
        rows = [(q.copy(), c.copy()) for q, c in zip(judged.quality, judged.cost, strict=True)]
        if reading is None:
            found = [ScoredText(q, c, 0, 1, ()) for q, c in rows]
        else:
            near = [self.rows.nearest(reading.vectors[row], NEAREST) if self.rows else () for row in reading.first]
            read = zip(rows, reading.tokens.tolist(), reading.windows.tolist(), near, strict=True)
            found = [ScoredText(*row, *facts) for row, *facts in read]
        if judged.error is not None:
            found = [replace(one, error=error.copy()) for one, error in zip(found, judged.error, strict=True)]
        if (new := self.router.is_new(prompts, reading)) is not None:
            found = [replace(one, is_new=is_new) for one, is_new in zip(found, new.tolist(), strict=True)]
        if languages := self.router.unsupported_languages(prompts):
            found = [replace(one, unsupported_language=name) for one, name in zip(found, languages, strict=True)]
        return found


def _digest(prompt: str) -> bytes:
    return sha256(prompt.encode("utf-8", "surrogatepass")).digest()


def _require_text(prompts: Sequence[str]) -> None:
    for prompt in prompts:
        if fault := fault_in_text(prompt):
            raise InputError(fault)
