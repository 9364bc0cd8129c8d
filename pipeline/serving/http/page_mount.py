"""Where the web page under /ui is mounted: a placeholder until it is built, which takes longer than being ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import FastAPI
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = "/ui"
_LOADING = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Switchtender</title><style>body{font:1.1rem system-ui;margin:4rem;color-scheme:light dark}</style>
<p>%s</p></html>"""
LOADING = "The page is loading."
FAILED = "The page could not be loaded; the service's log says why. The service itself goes on."


def belongs_to_page(path: str) -> bool:
    """Whether a path is the page's."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class PageMount:
    """Lets requests for the page through to it once it is there; before, answers a page that asks again by itself."""

    def __init__(self) -> None:
        self.message = LOADING
        self._page: FastAPI | None = None
        self._opened = False
        self._closing = asyncio.Event()
        self._requests: set[asyncio.Task[object]] = set()

    @property
    def is_loading(self) -> bool:
        """Whether it is still being built: that takes the processor from whoever answers."""
        return self.message == LOADING and not self._opened and not self._closing.is_set()

    @property
    def is_ending(self) -> bool:
        """Whether the page was open, so that its background work ends by itself."""
        return self._opened and self._closing.is_set()

    async def keep_open(self, page: FastAPI, opened: Callable[[], None]) -> None:
        """Let requests in until `close`; the page's own background work lasts as long."""
        # The server runs the lifespan of the service's application only, so the page's own is entered here.
        async with page.router.lifespan_context(page):
            self._page, self._opened = page, True
            opened()
            await self._closing.wait()

    def close(self) -> None:
        """Let nobody in any more, and end what the page still streams, which would hold up a shutdown."""
        self._page = None
        self._closing.set()
        for task in self._requests:
            task.cancel()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path belongs to the page."""
        if self._page is None:
            response = HTMLResponse(_LOADING % self.message, 503, {"Retry-After": "2", "Cache-Control": "no-store"})
            await response(scope, receive, send)
        elif scope["path"] == PAGE:
            await RedirectResponse(f"{PAGE}/")(scope, receive, send)
        else:
            await self._forward(self._page, scope, receive, send)

    async def _forward(self, page: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the page answer; a stream that `close` cuts short is ended as HTTP wants it."""
        under_way = False

        async def observed(message: Message) -> None:
            nonlocal under_way
            under_way = message["type"] == "http.response.start" or bool(message.get("more_body"))
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        try:
            await page(scope, receive, observed)
        except asyncio.CancelledError:
            if self._page is not None:
                raise  # by the server, not by `close`
            if under_way:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._requests.discard(task)


class PageLayer:
    """Sends requests for the page to its mount, and all others on."""

    def __init__(self, app: ASGIApp, mount: PageMount) -> None:
        self.app, self.mount = app, mount

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and belongs_to_page(scope["path"]):
            await self.mount.answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
