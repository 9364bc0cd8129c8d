"""What an upstream really answered, taken down below LiteLLM, which gives every failure a status that it guesses."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

KEPT = 4096
"""So many of an answer's first bytes are kept."""
NO_TYPE = "no type"
LONGEST_WAIT = 86_400


@dataclass
class UpstreamAnswer:
    """One call's answer as far as it has come: a status (0: none), its headers, and its first bytes."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    start: bytes = b""

    @property
    def media_type(self) -> str:
        """What the upstream says that it sent, `text/html`; `NO_TYPE` where it says nothing that can be shown."""
        said = self.headers.get("content-type", "").partition(";")[0].strip()
        return said if re.fullmatch(r"[\w.+/-]{1,60}", said, re.ASCII) else NO_TYPE

    def error(self) -> dict[str, Any]:
        """The error that the body tells, whatever its status; nothing where there is none in JSON."""
        try:
            body = json.loads(self.start)
        except (ValueError, RecursionError):
            return {}
        said = body.get("error") if isinstance(body, dict) else None
        return said if isinstance(said, dict) else {"message": said} if isinstance(said, str) else {}

    def excerpt(self) -> str:
        """The beginning of the text, without tags and control characters; empty where it is no text."""
        if self.headers.get("content-encoding", "identity") != "identity" or b"\0" in self.start:
            return ""
        text = re.sub(r"<[^>]*>?", " ", self.start.decode("utf-8", "replace"))
        return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())

    def retry_after(self) -> int | None:
        """The seconds after which the upstream wants to be asked again; None where it does not say."""
        said = self.headers.get("retry-after", "")
        try:
            seconds = float(said) if re.fullmatch(r"\d+(\.\d+)?", said) else _until(said)
        except (ValueError, OverflowError):
            return None
        return math.ceil(min(max(seconds, 1.0), LONGEST_WAIT))


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


listening: ContextVar[UpstreamAnswer | None] = ContextVar("listening", default=None)
"""Where the answer to the call under way is taken down."""


class ListeningTransport(httpx.AsyncBaseTransport):
    """A transport that takes down what comes through it."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        if (answer := listening.get()) is not None:
            answer.status, answer.headers, answer.start = response.status_code, response.headers, b""
            response.stream = _Overheard(response.stream, answer)
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Overheard(httpx.AsyncByteStream):
    def __init__(self, stream: Any, answer: UpstreamAnswer) -> None:
        self.stream, self.answer = stream, answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.stream:
            self.answer.start += part[: KEPT - len(self.answer.start)]
            yield part

    async def aclose(self) -> None:
        await self.stream.aclose()


def listen_to(handler: Any) -> None:
    """Have LiteLLM's connections, which all come from `AsyncHTTPHandler`, pass through a ListeningTransport; once."""
    connected = handler._create_async_transport
    if getattr(connected, "listens", False):
        return

    def transport(*given: Any, **named: Any) -> httpx.AsyncBaseTransport | None:
        inner = connected(*given, **named)
        return None if inner is None else ListeningTransport(inner)

    transport.listens = True  # type: ignore[attr-defined]
    handler._create_async_transport = staticmethod(transport)
