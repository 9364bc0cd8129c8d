"""Micro-batches without waiting: while one batch is computed, what arrives forms the next one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.serving.engine.scored import ScoredText

Compute = Callable[[list[str]], list[ScoredText]]
MOST = 32


class _Call:
    """One caller's prompts; `answers` or `error` is set by whichever thread computed them."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = list(prompts)
        self.answers: list[ScoredText] | None = None
        self.error: Exception | None = None


class Batcher:
    """Calls `compute` for one caller at a time, and lets each call answer all who wait meanwhile.

    An idle engine answers at once: nothing is ever held back to fill a batch. Only for encoders whose answers do
    not depend on the batch. A caller's prompts are not split; at most about `most` prompts go into a batch.
    """

    def __init__(self, compute: Compute, most: int = MOST) -> None:
        self.compute = compute
        self.most = most
        self._queue: deque[_Call] = deque()
        self._computing = threading.Lock()

    def __call__(self, prompts: Sequence[str]) -> list[ScoredText]:
        call = _Call(prompts)
        # Before the lock, so that whoever computes now can take this call into the next batch.
        self._queue.append(call)
        with self._computing:
            # The thread that held the lock before may have answered this call in its own batch.
            if call.answers is None and call.error is None:
                self._answer(self._next_batch(call))
        if call.answers is None:
            raise call.error or RuntimeError("a batch ended without answers")
        return call.answers

    def _next_batch(self, call: _Call) -> list[_Call]:
        """This call and the oldest others that fit; all leave the queue."""
        # By value: a lock does not wake its waiters in order, so this call may stand anywhere in the queue.
        self._queue.remove(call)
        batch, count = [call], len(call.prompts)
        while self._queue and count + len(self._queue[0].prompts) <= self.most:
            batch.append(self._queue.popleft())
            count += len(batch[-1].prompts)
        return batch

    def _answer(self, batch: list[_Call]) -> None:
        """Compute a batch in one go, and give each call its own answers, or all of them the error."""
        try:
            answers = iter(self.compute([text for call in batch for text in call.prompts]))
        except Exception as error:
            for call in batch:
                call.error = error
            return
        for call in batch:
            call.answers = [next(answers) for _ in call.prompts]
