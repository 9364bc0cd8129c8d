"""Why an upstream gave no answer: whether another one may do better, or the request itself is at fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.serving.chat.litellm_library import library
from pipeline.serving.chat.upstream_answer import UpstreamAnswer

TIMEOUT, CONNECTION, BROKE_OFF, EMPTY, UNREADABLE = "timeout", "connection", "broke off", "empty", "unreadable"
UNSUPPORTED, MISCONFIGURED, CONTEXT, ERROR = "unsupported", "misconfigured", "context", "error"
LIMITED = "429"
_CALLERS_FAULT = (400, 413, 422)
_SHOWN = 80
"""So many characters of what came instead of an answer are told."""
_LITELLMS_PREFIX = re.compile(r"^(litellm\.)?(\w+Error: )*(\w+Exception - )?")
_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size|limit)|maximum context|(prompt|input) (is )?too[ _]long|prompt_too_long"
    r"|too many (input )?tokens|input tokens?\b.{0,40}\bexceed|exceeds? the maximum number of tokens"
    r"|reduce the length of|tokens \+ `?max_new_tokens|longer than the (model|maximum|context)",
    re.IGNORECASE,
)
"""How providers say that a request does not fit their model; only some of them have a code for it."""


class UpstreamFailed(Exception):
    """This upstream gave no answer, another one may: `reason` is a status, or one of the words above.

    `said` is what came instead, short and without secrets: for the caller only, since it may quote the prompt.
    `retry_after` are seconds, where the upstream named them.
    """

    def __init__(self, reason: str, said: str = "", retry_after: int | None = None) -> None:
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason, self.retry_after = reason, retry_after


class UpstreamRefused(Exception):
    """The upstream says that the request itself is at fault; `error` is what it said, secrets masked."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"status {status}")
        self.status, self.reason = status, str(status)
        self.error = error
        self.retry_after: int | None = None


def classified(
    error: Exception, answer: UpstreamAnswer, scrub: Callable[[str], str]
) -> UpstreamFailed | UpstreamRefused:
    """What an error of LiteLLM means, held against what the upstream really answered; `scrub` masks secrets."""
    import httpx

    litellm = library()
    causes = list(_causes(error))
    if isinstance(error, litellm.UnsupportedParamsError):
        return UpstreamFailed(UNSUPPORTED)
    # Causes before the status: LiteLLM gives time-outs and lost connections a status that no upstream sent.
    if any(isinstance(cause, litellm.Timeout | httpx.TimeoutException) for cause in causes):
        return UpstreamFailed(TIMEOUT)
    if any(isinstance(cause, httpx.TransportError) for cause in causes):
        return UpstreamFailed(CONNECTION)
    said = _error_in(causes, answer)
    if 200 <= answer.status < 400 and not said:
        return _unreadable(answer, scrub)
    message = scrub(str(said.get("message") or (json.dumps(said) if said else _LITELLMS_PREFIX.sub("", str(error)))))
    status = _status(error, answer, said)
    wait = answer.retry_after()
    if status != int(LIMITED) and _is_too_long(error, message, said):
        return UpstreamFailed(CONTEXT, _short(message))
    if status in _CALLERS_FAULT:
        fields = {name: said.get(name) for name in ("type", "param", "code")}
        return UpstreamRefused(status, {"message": message[:1000], **fields})
    if status:
        return UpstreamFailed(str(status), retry_after=wait)
    return UpstreamFailed(ERROR, _short(message), wait)


def _unreadable(answer: UpstreamAnswer, scrub: Callable[[str], str]) -> UpstreamFailed:
    """What came was no answer: its type, and how it begins."""
    text = _short(scrub(answer.excerpt()))
    status = "" if answer.status in (0, 200) else f"status {answer.status}, "
    return UpstreamFailed(UNREADABLE, f"{status}{answer.media_type}" + (f" '{text}'" if text else ", no text"))


def _error_in(causes: list[BaseException], answer: UpstreamAnswer) -> dict[str, Any]:
    """The error object that the upstream sent; empty where there is none."""
    bodies = (getattr(cause, "body", None) for cause in causes)
    return next((body for body in bodies if isinstance(body, dict)), None) or answer.error()


def _status(error: Exception, answer: UpstreamAnswer, said: dict[str, Any]) -> int | None:
    """The status that the upstream sent, or named in an error that came as 200; LiteLLM's where nothing was sent."""
    if answer.status == 0 or answer.status >= 400:
        return answer.status or getattr(error, "status_code", None)
    code = str(said.get("code"))
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else None


def _is_too_long(error: Exception, message: str, said: dict[str, Any]) -> bool:
    words = f"{message} {said.get('code')} {said.get('type')}"
    return isinstance(error, library().ContextWindowExceededError) or bool(_TOO_LONG.search(words))


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, which LiteLLM hides behind a guessed status."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
