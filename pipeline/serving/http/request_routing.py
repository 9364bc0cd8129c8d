"""Routing a request: scored by the version in service, decided, written down, and only then answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from pipeline.encoders.onnx_encoder import INT8
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.serving.engine.decision import Decision, RoutingOptions, check, decide, require_allowed
from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.engine import Engine
from pipeline.serving.engine.hot_swap import WARM_UP, ServedVersion, VersionSwitch
from pipeline.serving.engine.log import timestamp
from pipeline.serving.engine.scored import ScoredText, usd
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.prometheus import Metrics

ROUTE, CHAT = "route", "chat"
_REMEMBERED_BYTES = 200
"""Of a remembered answer; names of version and candidates are shared by all answers."""
SLICE = 32
"""Prompts a call to the engine: between calls others get their turn, and a request that timed out ends."""

asked_by: ContextVar[str] = ContextVar("asked_by", default="anonymous")
"""The name of whoever asks, set for the time of a request."""
labelled: ContextVar[tuple[str, ...]] = ContextVar("labelled", default=())
"""What a chat's prompt is labelled with, set for the time of a request: OpenAI's protocol has no place for it."""


@dataclass(frozen=True)
class RoutingRequest:
    """Texts to route under one request id. `of` is ROUTE or CHAT."""

    request_id: str
    texts: tuple[str, ...]
    options: RoutingOptions = field(default_factory=RoutingOptions)
    of: str = ROUTE
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """How long ago it came."""
        return time.perf_counter() - self.began


@dataclass(frozen=True)
class RememberedAnswer:
    """What is kept of an answer for feedback: how many prompts it had, by which version, among which candidates."""

    prompts: int
    version: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class RoutedTexts:
    """What one version says to each text, in the order given."""

    served: ServedVersion
    scored: tuple[ScoredText, ...]
    decisions: tuple[Decision, ...]


class RequestRouter:
    """Routes requests. Safe to call from the event loop and from threads."""

    def __init__(self, switch: VersionSwitch, params: ServeParams, journal: Journal) -> None:
        self.switch, self.params, self.journal = switch, params, journal
        self.metrics = Metrics(switch, journal)
        self._int8_pool = ThreadPoolExecutor(params.threads, thread_name_prefix="score")
        self._batch_pool = ThreadPoolExecutor(SLICE, thread_name_prefix="gather")
        self._remembered: ByteCache[str, RememberedAnswer] = ByteCache(params.cache_bytes // 8)

    async def route(self, asked: RoutingRequest) -> RoutedTexts:
        """Route on the event loop; what has to be computed is computed in the pool.

        Raises:
            NotReady: no version is loaded.
            InputError: the options cannot be met.
            JournalFailed: the decisions could not be written down.
        """
        served = self._checked_version(asked)
        loop, pool = asyncio.get_running_loop(), self._pool(served)
        known, unknown = self._cached(served, asked.texts)
        if not unknown:
            routed, entries = self._decided(asked, served, known)
            # Written ahead: no answer leaves whose decision is not in the journal.
            await asyncio.wrap_future(self.journal.decisions(entries))
            self._remember(asked, routed)
            return routed
        *parts, last = (unknown[start : start + SLICE] for start in range(0, len(unknown), SLICE))
        for part in parts:
            known.update(zip(part, await loop.run_in_executor(pool, served.engine.score, part), strict=True))
        # With the last texts the thread decides and writes as well: each change of threads costs a tenth of an answer.
        waits, context = threading.Event(), copy_context()
        waits.set()
        try:
            work = partial(context.run, self._finished, asked, served, known, last, waits.is_set)
            return await loop.run_in_executor(pool, work)
        except asyncio.CancelledError:
            waits.clear()
            raise

    def route_now(self, asked: RoutingRequest) -> RoutedTexts:
        """The same for a thread that may wait. Raises likewise, and SwitchtenderError after `seconds_per_request`."""
        served = self._checked_version(asked)
        known, unknown = self._cached(served, asked.texts)
        if unknown:
            computing = self._pool(served).submit(served.engine.score, unknown)
            try:
                known.update(zip(unknown, computing.result(self.params.seconds_per_request), strict=True))
            except TimeoutError as error:
                computing.cancel()  # ends it only while it waits in the pool
                raise SwitchtenderError("the router took too long; try again when it is less busy") from error
        return self._finished(asked, served, known)

    def _finished(
        self,
        asked: RoutingRequest,
        served: ServedVersion,
        known: dict[str, ScoredText],
        unknown: Sequence[str] = (),
        waits: Callable[[], bool] = lambda: True,
    ) -> RoutedTexts:
        """Score what is left, decide and write down, in a thread; nothing is written where nobody waits any more."""
        known.update(zip(unknown, served.engine.score(unknown) if unknown else (), strict=True))
        routed, entries = self._decided(asked, served, known)
        if waits():
            self.journal.write_decisions(entries)
            self._remember(asked, routed)
        return routed

    def unread(self, labels: Collection[str]) -> tuple[ServedVersion, tuple[str, ...]]:
        """Who may answer what holds no text, such as a picture alone: nothing tells them apart but the price, so the
        cheapest first. For a thread that may wait; raises as `route_now`, also where nobody may.
        """
        served = self.switch.served
        engine = served.engine
        (scored,) = self._pool(served).submit(engine.score, WARM_UP[:1]).result()
        terms = engine.offered(WARM_UP[0], scored, labels)
        require_allowed(terms)
        barred = barred_of(served, terms)
        order = np.argsort(np.nan_to_num(terms.cost, nan=np.inf), kind="stable")
        return served, tuple(name for at in order if (name := engine.candidates[at]) not in barred)

    def remembered(self, request_id: str) -> RememberedAnswer | None:
        """One of the latest answers; None where it is not remembered: feedback to it is matched when it is read."""
        return self._remembered.get(request_id)

    async def costs(self, served: ServedVersion) -> list[float | None]:
        """The expected cost in USD of each candidate for a short prompt; None where it is not known."""
        loop = asyncio.get_running_loop()
        (scored,) = await loop.run_in_executor(self._pool(served), served.engine.score, WARM_UP[:1])
        return [usd(float(cost)) for cost in served.engine.offered(WARM_UP[0], scored).cost]

    def close(self) -> None:
        """End the pools; what has not begun is not computed."""
        self._int8_pool.shutdown(cancel_futures=True)
        self._batch_pool.shutdown(cancel_futures=True)

    def _pool(self, served: ServedVersion) -> ThreadPoolExecutor:
        """Where an engine computes: int8 in a thread for each of its CPU threads, others in as many as make a batch."""
        return self._int8_pool if served.engine.precision == INT8 else self._batch_pool

    def _checked_version(self, asked: RoutingRequest) -> ServedVersion:
        """The version in service, once it can meet the request's options."""
        # Read once a request: a swap meanwhile must not mix two versions in one answer.
        served = self.switch.served
        check(asked.options, served.engine.candidates, served.engine.policy)
        return served

    def _cached(self, served: ServedVersion, texts: Sequence[str]) -> tuple[dict[str, ScoredText], list[str]]:
        """The scores that the engine's cache holds, and the texts that it lacks, each once."""
        known = {text: scored for text in texts if (scored := served.engine.cached(text)) is not None}
        self.metrics.prompts.inc(len(texts))
        self.metrics.cache_hits.inc(sum(text in known for text in texts))
        return known, [text for text in dict.fromkeys(texts) if text not in known]

    def _decided(
        self, asked: RoutingRequest, served: ServedVersion, known: Mapping[str, ScoredText]
    ) -> tuple[RoutedTexts, list[dict[str, Any]]]:
        """The decision on each text, and the journal's entries for them."""
        engine = served.engine
        scored = tuple(engine.offered(text, known[text], asked.options.labels) for text in asked.texts)
        routed = RoutedTexts(served, scored, _decisions(asked, engine, scored))
        return routed, [self._entry(asked, routed, index) for index in range(len(scored))]

    def _entry(self, asked: RoutingRequest, routed: RoutedTexts, index: int) -> dict[str, Any]:
        """A line of the journal; the candidate set is the keys of `scores` without those that a pool `barred`."""
        served, scored, decision = routed.served, routed.scored[index], routed.decisions[index]
        text, options = asked.texts[index], asked.options
        return {
            "at": timestamp(),
            "request_id": asked.request_id,
            "index": index,
            "of": asked.of,
            "asked_by": asked_by.get(),
            "version": served.version,
            "run_key": served.run_key,
            "provenance_sha256": served.provenance_sha256,
            "policy": decision.policy,
            "wish": options.to_json(),
            "scores": scores_of(served, scored),
            "chosen": decision.chosen,
            "below_threshold": decision.below_threshold,
            **({"barred": barred} if (barred := barred_of(served, scored)) else {}),
            **({} if scored.is_new is None else {"new": scored.is_new}),
            **({"unsupported_language": scored.unsupported_language} if scored.unsupported_language else {}),
            "margin": decision.margin,
            "milliseconds": round(asked.seconds * 1000, 2),
            "probability": decision.probability,
            "prompt_sha256": sha256(text.encode("utf-8")).hexdigest(),
            **({"prompt": text} if self.params.log_prompts else {}),
        }

    def _remember(self, asked: RoutingRequest, routed: RoutedTexts) -> None:
        """Count what was chosen, and keep what feedback on this answer is checked against."""
        served = routed.served
        if known := [scored.is_new for scored in routed.scored if scored.is_new is not None]:
            self.metrics.new_prompts.labels(served.version).inc(sum(known))
        self.metrics.unsupported.labels(served.version).inc(
            sum(bool(one.unsupported_language) for one in routed.scored)
        )
        self.metrics.decided(served.version, routed.decisions, asked.seconds)
        remembered = RememberedAnswer(len(asked.texts), served.version, served.engine.candidates)
        self._remembered.put(asked.request_id, remembered, _REMEMBERED_BYTES)


def _decisions(asked: RoutingRequest, engine: Engine, scored: Sequence[ScoredText]) -> tuple[Decision, ...]:
    """The decision on each text; where one of several cannot be decided on, the error says which."""
    decisions = []
    for index, one in enumerate(scored):
        try:
            decisions.append(decide(one, engine.candidates, engine.policy, asked.options))
        except InputError as error:
            raise error if len(scored) == 1 else InputError(f"prompts.{index}: {error}") from None
    return tuple(decisions)


def scores_of(served: ServedVersion, scored: ScoredText) -> dict[str, float]:
    """Every candidate's score, in the version's order."""
    return {name: round(float(score), 6) for name, score in zip(served.engine.candidates, scored.quality, strict=True)}


def barred_of(served: ServedVersion, scored: ScoredText) -> list[str]:
    """The candidates that a pool did not let answer."""
    if scored.allowed is None:
        return []
    return [name for name, may in zip(served.engine.candidates, scored.allowed, strict=True) if not may]
