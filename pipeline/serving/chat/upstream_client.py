"""Asking one upstream, through LiteLLM's library, which translates between providers and does nothing else here."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib.util
import json
import logging
import os
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Iterator
from typing import Any, TypeVar

from pipeline.runtime.errors import InputError, ParamsError, SwitchtenderError
from pipeline.serving.chat.openai_schemas import JsonObject, chunk, completion
from pipeline.serving.chat.upstreams import Upstreams
from pipeline.serving.engine.log import log

T = TypeVar("T")

TIMEOUT, CONNECTION, BROKE_OFF, EMPTY, UNREADABLE = "timeout", "connection", "broke off", "empty", "unreadable"
UNSUPPORTED, MISCONFIGURED = "unsupported", "misconfigured"
_CALLERS_FAULT = (400, 413, 422)
_NO_KEY = "none"
_LITELLMS_PREFIX = re.compile(r"^(litellm\.)?(\w+Error: )*(\w+Exception - )?")
_TRANSLATED_FOR_ALL = frozenset({"messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
_TRANSLATED = _TRANSLATED_FOR_ALL | {
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "reasoning_effort", "response_format", "seed",
    "service_tier", "stop", "temperature", "thinking", "tool_choice", "tools", "top_logprobs", "top_p", "user",
}  # fmt: skip
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the price list is fetched at import
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # else fetched at the first call of Anthropic
    "LITELLM_MODE": "PRODUCTION",  # else a file .env is read into the environment
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # else an address in a caller's message is fetched from here
}


class UpstreamFailed(Exception):
    """This upstream gave no answer, another one may: `reason` is a status, or one of the words above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UpstreamRefused(Exception):
    """The upstream says that the request itself is at fault; `error` is what it said, secrets masked."""

    def __init__(self, status: int, error: JsonObject) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.error = error


def require_library() -> None:
    """Find LiteLLM without importing it.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("litellm") is None:
        raise InputError("forwarding needs LiteLLM, which is not installed; run: pip install 'switchtender[chat]'")


@functools.cache
def library() -> Any:
    """LiteLLM, imported (seconds, the first time) and set to keep to itself: no network of its own, no log, no guess.

    Raises:
        InputError: it is not installed.
    """
    require_library()
    os.environ.update(_ENVIRONMENT)
    _silence()
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.disable_streaming_logging = True
    litellm.disable_token_counter = True  # it fetches tokenizers, and images that a message names
    litellm.disable_hf_tokenizer_download = True
    return litellm


def _silence() -> None:
    """LiteLLM logs whole requests. A filter stays, whereas a configuration of logging enables disabled loggers."""
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).addFilter(lambda record: False)
    for name in ("openai", "httpx", "httpcore"):  # they log bodies, and addresses with keys in them
        logging.getLogger(name).setLevel(logging.WARNING)


def prepare(upstreams: Upstreams) -> None:
    """Do beforehand what would make the first request wait, and find entries that LiteLLM cannot use.

    Raises:
        InputError: LiteLLM is not installed.
        ParamsError: LiteLLM does not know an entry's provider.
    """
    for candidate, upstream in upstreams.by_candidate.items():
        if _provider(upstream.model, upstream.api_base) is None:
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
        answer = await self._within(candidate, self._call(candidate, body))
        if not answer.choices:
            raise UpstreamFailed(EMPTY)
        return completion(answer.model_dump(exclude_none=True), candidate)

    async def stream(self, candidate: str, body: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """The chunks of an answer as they arrive, in OpenAI's shape. Closing the generator ends the upstream's call.

        Raises:
            UpstreamFailed, UpstreamRefused: as above; after the first chunk too.
        """
        await asyncio.to_thread(library)
        pieces = await self._within(candidate, self._call(candidate, body | {"stream": True}))
        try:
            while (piece := await self._within(candidate, anext(pieces, None))) is not None:
                _check_unbroken(pieces, piece)
                shaped = chunk(piece.model_dump(exclude_none=True), candidate)
                if shaped is not None:
                    yield shaped
        finally:
            await pieces.aclose()

    async def _call(self, candidate: str, body: JsonObject) -> Any:
        return await library().acompletion(**self._arguments(candidate, body))

    def _arguments(self, candidate: str, body: JsonObject) -> JsonObject:
        """Fields of the body never become LiteLLM's own options, `api_base` above all, whatever their names."""
        upstream = self.upstreams.by_candidate[candidate]
        provider = _provider(upstream.model, upstream.api_base)
        if provider is None:
            raise UpstreamFailed(MISCONFIGURED)
        translated = _TRANSLATED_FOR_ALL if _speaks_openai(provider) else _TRANSLATED
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

    async def _within(self, candidate: str, work: Awaitable[T]) -> T:
        """The result, if it comes within the upstream's time; what goes wrong is classified."""
        try:
            async with asyncio.timeout(self.upstreams.by_candidate[candidate].timeout_seconds):
                return await work
        except (UpstreamFailed, SwitchtenderError):
            raise
        except TimeoutError:
            raise UpstreamFailed(TIMEOUT) from None
        except Exception as error:
            raise self._classified(error) from None  # LiteLLM's errors quote the request

    def _classified(self, error: Exception) -> UpstreamFailed | UpstreamRefused:
        """Whether another upstream may do better, or the request itself is at fault."""
        import httpx

        litellm = library()
        causes = list(_causes(error))
        status = getattr(error, "status_code", None)
        if isinstance(error, litellm.UnsupportedParamsError):
            return UpstreamFailed(UNSUPPORTED)
        # Causes before the status: LiteLLM gives time-outs and lost connections a status that no upstream sent.
        if any(isinstance(cause, litellm.Timeout | httpx.TimeoutException) for cause in causes):
            return UpstreamFailed(TIMEOUT)
        if any(isinstance(cause, httpx.TransportError) for cause in causes):
            return UpstreamFailed(CONNECTION)
        if status in _CALLERS_FAULT:
            return UpstreamRefused(status, self._upstream_error(causes))
        return UpstreamFailed(str(status) if status and status >= 400 else UNREADABLE)

    def _upstream_error(self, causes: list[BaseException]) -> JsonObject:
        """What the upstream answered, else LiteLLM's own words."""
        bodies = (getattr(cause, "body", None) for cause in causes)
        body = next((body for body in bodies if isinstance(body, dict)), {})
        message = body.get("message") or (json.dumps(body) if body else _LITELLMS_PREFIX.sub("", str(causes[0])))
        said = {name: body.get(name) for name in ("type", "param", "code")}
        return {"message": self.upstreams.scrub(str(message))[:1000], **said}


def _provider(model: str, api_base: str | None) -> str | None:
    """LiteLLM's name of an entry's provider, or None where it knows none."""
    litellm = library()
    try:
        return str(litellm.get_llm_provider(model, api_base=api_base)[1])
    except litellm.BadRequestError:
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, which LiteLLM hides behind a guessed status."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _check_unbroken(pieces: Any, piece: Any) -> None:
    """LiteLLM makes up a last chunk with the reason `stop` where the upstream's stream just ended."""
    finished = any(choice.finish_reason for choice in piece.choices)
    if finished and pieces.received_finish_reason is None and pieces.intermittent_finish_reason is None:
        raise UpstreamFailed(BROKE_OFF)


def _capped(body: JsonObject, most: int | None) -> JsonObject:
    """The body with at most so many tokens to be generated, whichever field says so."""
    if most is None:
        return body
    asked = [name for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    return body | ({name: min(body[name], most) for name in asked} or {"max_tokens": most})


def _speaks_openai(provider: str) -> bool:
    """Whether a provider takes OpenAI's fields as they are, so that only a few are LiteLLM's to translate."""
    return provider in ("openai", "azure", "openrouter", "mistral", *library().openai_compatible_providers)
