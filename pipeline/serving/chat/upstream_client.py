"""Asking one upstream, through LiteLLM's library, which translates between providers and does nothing else here."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeVar

from pipeline.runtime.errors import ParamsError, SwitchtenderError
from pipeline.serving.chat.failures import (
    BROKE_OFF,
    EMPTY,
    MISCONFIGURED,
    TIMEOUT,
    UNREADABLE,
    UpstreamFailed,
    UpstreamRefused,
    classified,
)
from pipeline.serving.chat.litellm_library import library, provider_of, speaks_openai
from pipeline.serving.chat.openai_schemas import JsonObject, chunk, completion
from pipeline.serving.chat.upstream_answer import NO_TYPE, UpstreamAnswer, listening
from pipeline.serving.chat.upstreams import Upstreams
from pipeline.serving.engine.log import log

T = TypeVar("T")

_NO_KEY = "none"
_TRANSLATED_FOR_ALL = frozenset({"messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
_TRANSLATED = _TRANSLATED_FOR_ALL | {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "reasoning_effort", "response_format", "seed",
    "service_tier", "stop", "temperature", "thinking", "tool_choice", "tools", "top_logprobs", "top_p", "user",
}  # fmt: skip


def prepare(upstreams: Upstreams) -> None:
    """Do beforehand what would make the first request wait, and find entries that LiteLLM cannot use.

    Raises:
        InputError: LiteLLM is not installed.
        ParamsError: LiteLLM does not know an entry's provider.
    """
    for candidate, upstream in upstreams.by_candidate.items():
        if provider_of(upstream.model, upstream.api_base) is None:
            raise ParamsError(f"upstreams: {candidate}.model: LiteLLM knows no provider '{upstream.model}'; mend it")


def start_preparing(upstreams: Upstreams) -> threading.Thread:
    """`prepare` in a thread of its own, which is returned; what is wrong becomes one line in the log."""

    def run() -> None:
        try:
            prepare(upstreams)
        except SwitchtenderError as error:
            log("chat_not_ready", reason=str(error))

    thread = threading.Thread(target=run, name="litellm", daemon=True)
    thread.start()
    return thread


class UpstreamClient:
    """Asks the upstream of a candidate, once: no retries here, they are the fallback's."""

    def __init__(self, upstreams: Upstreams) -> None:
        self.upstreams = upstreams

    async def ask(self, candidate: str, body: JsonObject) -> JsonObject:
        """The whole answer to a request's body (which is not changed), in OpenAI's shape.

        Raises:
            UpstreamFailed: another upstream may do better.
            UpstreamRefused: the request is at fault.
        """
        # Its import takes seconds, for which the event loop must not stand still.
        await asyncio.to_thread(library)
        heard = UpstreamAnswer()
        answer = await self._within(candidate, self._call(candidate, body, heard), heard)
        if not answer.choices:
            raise UpstreamFailed(EMPTY)
        return completion(answer.model_dump(exclude_none=True), candidate)

    async def stream(self, candidate: str, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """The chunks of an answer as they arrive, in OpenAI's shape. Closing the generator ends the upstream's call.

        Raises:
            UpstreamFailed, UpstreamRefused: as above; after the first chunk too.
        """
        await asyncio.to_thread(library)
        heard = UpstreamAnswer()
        pieces = await self._within(candidate, self._call(candidate, body | {"stream": True}, heard), heard)
        try:
            while (piece := await self._within(candidate, anext(pieces, None), heard)) is not None:
                if _is_made_up(pieces, piece):
                    raise self._broken(candidate, heard)
                shaped = chunk(piece.model_dump(exclude_none=True), candidate)
                if shaped is not None:
                    yield shaped
        finally:
            await pieces.aclose()

    async def _call(self, candidate: str, body: JsonObject, heard: UpstreamAnswer) -> Any:
        listening.set(heard)
        return await library().acompletion(**self._arguments(candidate, body))

    def _arguments(self, candidate: str, body: JsonObject) -> JsonObject:
        """Fields of the body never become LiteLLM's own options, `api_base` above all, whatever their names."""
        upstream = self.upstreams.by_candidate[candidate]
        provider = provider_of(upstream.model, upstream.api_base)
        if provider is None:
            raise UpstreamFailed(MISCONFIGURED)
        translated = _TRANSLATED_FOR_ALL if speaks_openai(provider) else _TRANSLATED
        # A copy: LiteLLM may change what it is given, and the next candidate gets the body as it came.
        body = _capped(copy.deepcopy(body), upstream.max_tokens)
        return {
            **{name: value for name, value in body.items() if name in translated},
            "extra_body": {name: value for name, value in body.items() if name not in translated},
            "model": upstream.model,
            "api_base": upstream.api_base,
            # Without one, LiteLLM would send the environment's OPENAI_API_KEY to whatever address is configured.
            "api_key": self.upstreams.key(candidate) or (_NO_KEY if upstream.api_base else None),
            "extra_headers": self.upstreams.headers(candidate) or None,
            "timeout": upstream.timeout_seconds,
            "num_retries": 0,
            "no-log": True,
            "_is_litellm_internal_call": True,  # else it prepares records for the log that nobody keeps
            "_skip_mcp_handler": True,  # else a tool of type `mcp` makes LiteLLM call it from here
        }

    async def _within(self, candidate: str, work: Awaitable[T], heard: UpstreamAnswer) -> T:
        """The result, if it comes within the upstream's time; what goes wrong is classified."""
        try:
            async with asyncio.timeout(self.upstreams.by_candidate[candidate].timeout_seconds):
                return await work
        except (UpstreamFailed, SwitchtenderError):
            raise
        except TimeoutError:
            raise UpstreamFailed(TIMEOUT) from None
        except Exception as error:
            failure = classified(error, heard, self.upstreams.scrub)
            _log_unreadable(candidate, failure, heard)
            raise failure from None  # LiteLLM's errors quote the request

    def _broken(self, candidate: str, heard: UpstreamAnswer) -> UpstreamFailed | UpstreamRefused:
        """A stream that ended before its answer did, or was none from the beginning."""
        if heard.media_type in ("text/event-stream", NO_TYPE):
            return UpstreamFailed(BROKE_OFF)
        failure = classified(Exception(), heard, self.upstreams.scrub)
        _log_unreadable(candidate, failure, heard)
        return failure


def _is_made_up(pieces: Any, piece: Any) -> bool:
    """LiteLLM makes up a last chunk with the reason `stop` where the upstream's stream just ended."""
    finished = any(choice.finish_reason for choice in piece.choices)
    return finished and pieces.received_finish_reason is None and pieces.intermittent_finish_reason is None


def _log_unreadable(candidate: str, failure: UpstreamFailed | UpstreamRefused, heard: UpstreamAnswer) -> None:
    """Its type alone: the text may quote the prompt."""
    if failure.reason == UNREADABLE:
        log("unreadable", candidate=candidate, status=heard.status, media_type=heard.media_type)


def _capped(body: JsonObject, most: int | None) -> JsonObject:
    """The body with at most so many tokens to be generated, whichever field says so; what is no number of them goes."""
    if most is None:
        return body
    fields = ("max_tokens", "max_completion_tokens")
    asked = {name: min(body[name], most) for name in fields if type(body.get(name)) is int}
    return {name: value for name, value in body.items() if name not in fields} | (asked or {"max_tokens": most})
