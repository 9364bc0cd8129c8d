"""Micro-batches without waiting: while one batch is computed, what arrives forms the next one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.serving.engine.scored import ScoredText

Compute = Callable[[list[str]], list[ScoredText]]
MOST = 32


class _Waiting:
    """One caller's prompts; `found` or `error` is set once somebody has computed them."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = list(prompts)
        self.found: list[ScoredText] | None = None
        self.error: Exception | None = None


class Batcher:
    """Calls `compute` for one caller at a time, and lets each call answer all who wait meanwhile.

    An idle engine answers at once: nothing is ever held back to fill a batch. Only for encoders whose answers do
    not depend on the batch. A caller's prompts are not split; at most about `most` prompts go into a batch.
    """

    def __init__(self, compute: Compute, most: int = MOST) -> None:
        self.compute = compute
        self.most = most
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.Lock()

    def __call__(self, prompts: Sequence[str]) -> list[ScoredText]:
        asked = _Waiting(prompts)
        self._waiting.append(asked)
        with self._turn:
            if asked.found is None and asked.error is None:
                self._answer(self._batch(asked))
        if asked.found is None:
            raise asked.error or RuntimeError("a batch ended without answers")
        return asked.found

    def _batch(self, asked: _Waiting) -> list[_Waiting]:
        """This caller and, oldest first, those who wait as well."""
        self._waiting.remove(asked)
        batch, count = [asked], len(asked.prompts)
        while self._waiting and count + len(self._waiting[0].prompts) <= self.most:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].prompts)
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            found = iter(self.compute([text for asked in batch for text in asked.prompts]))
        except Exception as error:
            for asked in batch:
                asked.error = error
            return
        for asked in batch:
            asked.found = [next(found) for _ in asked.prompts]
