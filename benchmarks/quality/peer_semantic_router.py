"""semantic-router with its best common setting for several labels, in the peers' own environment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from semantic_router import IndexedRouter  # type: ignore[import-not-found]
from semantic_router.encoders import HuggingFaceEncoder  # type: ignore[import-not-found]
from semantic_router.index import LocalIndex  # type: ignore[import-not-found]

from benchmarks.quality.held_out import Matrix, Score, best_threshold, held_out_scores, reached, truth_of
from benchmarks.quality.job import Answer, Job, numbers, timed

TOP_K, AGGREGATIONS = (5, 10, 20, 50), ("mean", "max", "sum")


def answer(job: Job) -> Answer:
    """A route an agent, its prompts as utterances; aggregation and top_k are chosen with the threshold."""
    truth = truth_of(job)
    with timed() as took:
        known = _Vectors(job)
        found = []
        for top_k, how in product(TOP_K, AGGREGATIONS):
            held_out = held_out_scores(job, partial(known.router, job, top_k, how))
            found.append((*best_threshold(held_out, truth)[::-1], top_k, how))
        _, threshold, top_k, how = max(found)
        score = known.router(job, top_k, how, np.arange(len(job.prompts)))
    known.read(job.asked)
    chosen = reached(score(job.asked), threshold, truth)
    return Answer(numbers(chosen), took.wall, took.cpu)


class _Vectors:
    """The local encoder, which reads each text once for all routers that are tried."""

    def __init__(self, job: Job) -> None:
        vectors: dict[str, list[float]] = {}

        class Remembering(HuggingFaceEncoder):  # type: ignore[misc]
            def __call__(self, docs: list[str], **_: Any) -> list[list[float]]:
                return [vectors[text] for text in docs]

        self.reader = HuggingFaceEncoder(name=job.encoder, device="cpu")
        self.reader._tokenizer.model_max_length = job.max_tokens
        self.encoder, self.vectors = Remembering(name=job.encoder, device="cpu"), vectors
        self.read(job.prompts)

    def read(self, prompts: Sequence[str]) -> None:
        texts = sorted(set(prompts) - set(self.vectors), key=len)
        self.vectors.update(zip(texts, self.reader(texts), strict=True) if texts else ())

    def router(self, job: Job, top_k: int, aggregation: str, rows: Matrix) -> Score:
        """Scores by a router that knows these rows."""
        pairs = [(job.agents[agent], job.prompts[row]) for row in rows for agent in job.labels[row]]
        index = LocalIndex()
        index.add([self.vectors[text] for _, text in pairs], [agent for agent, _ in pairs], [text for _, text in pairs])
        router = IndexedRouter(encoder=self.encoder, index=index, top_k=top_k, aggregation=aggregation)
        column = {agent: number for number, agent in enumerate(job.agents)}

        def score(prompts: Sequence[str]) -> Matrix:
            scores = np.zeros((len(prompts), len(job.agents)))
            for row, prompt in enumerate(prompts):
                for choice in router(prompt, limit=None):
                    scores[row, column[choice.name]] = choice.confidence
            return scores

        return score
