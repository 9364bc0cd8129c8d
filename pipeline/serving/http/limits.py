"""How much one request, and all of them together, may take: plain ASGI layers around the API's routes.

The page under /ui has a concurrency and a body limit of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.http.connections import network
from pipeline.serving.http.errors import Problem, answer

API, CHAT = "/v1/", "/v1/chat/"
_DISCARDED = 64
"""A body this many times over the limit is read to its end all the same: most clients read only after they wrote."""


class ConcurrencyLimit:
    """Lets so many requests below a path in at a time, `each` of one visitor; the others are told to come back.

    A visitor is who has logged in, else whoever has that address.
    """

    def __init__(self, app: ASGIApp, path: str, requests: int, each: int | None = None) -> None:
        self.app, self.path, self.requests, self.each = app, path, requests, each or requests
        self.inside: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.path):
            await self.app(scope, receive, send)
            return
        visitor = _visitor(scope)
        if self.inside.total() >= self.requests or self.inside[visitor] >= self.each:
            problem = Problem(
                429, "too_many_requests", f"{self.inside.total()} requests are under way", "try again",
                {"Retry-After": "1"},
            )  # fmt: skip
            await answer(problem, scope)(scope, receive, send)
            return
        # No lock: only the event loop's thread counts.
        self.inside[visitor] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.inside[visitor] -= 1
            self.inside += Counter()  # forgets visitors who have nothing under way


def _visitor(scope: Scope) -> str:
    host = (scope.get("client") or ("",))[0]
    return str(scope.get("state", {}).get("visitor") or network(host))


class TimeLimit:
    """Ends a request that has not begun to be answered in time. A stream that has begun may go on.

    A chat has only to arrive in time: how long a language model may take is said for each upstream.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def begun(message: Message) -> None:
            limit.reschedule(None)
            await send(message)

        async def arriving() -> Message:
            message = await receive()
            if not message.get("more_body") and scope["path"].startswith(CHAT):
                limit.reschedule(None)
            return message

        try:
            async with asyncio.timeout(self.seconds) as limit:
                await self.app(scope, arriving, begun)
        except TimeoutError:
            if not limit.expired():
                raise  # not this limit's, but one from inside the application
            hint = "send fewer or shorter prompts a request, or try again when it is less busy"
            problem = Problem(504, "timed_out", f"no answer within {self.seconds:g} seconds", hint)
            await answer(problem, scope)(scope, receive, send)


class BodyLimit:
    """Reads a request's whole body, counting as it comes, before the request goes on.

    A chat has a limit of its own, since pictures travel in its body; without one it is `most`, too.
    """

    def __init__(self, app: ASGIApp, most: int, most_of_chat: int | None = None) -> None:
        self.app, self.most, self.most_of_chat = app, most, most_of_chat or most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        of_chat = scope["path"].startswith(CHAT)
        most = self.most_of_chat if of_chat else self.most
        body = await _read(receive, most)
        if body is None:
            less = "less text or smaller pictures" if of_chat else "fewer or shorter prompts a request"
            hint = f"send {less}; serve.{'max_chat_body_bytes' if of_chat else 'max_body_bytes'} sets the limit"
            problem = Problem(413, "body_too_large", f"the body has more than {most} bytes", hint)
            await answer(problem, scope)(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            # Behind the body comes the real channel again: a chat listens there for the client going away.
            return waiting.pop() if waiting else await receive()

        await self.app(scope, replayed, send)


async def _read(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None where it is over the limit; a moderately large one is read on, but not kept."""
    parts, size, more = [], 0, True
    while more and size <= most * _DISCARDED:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if size <= most:
            parts.append(part)
    return b"".join(parts) if size <= most else None
