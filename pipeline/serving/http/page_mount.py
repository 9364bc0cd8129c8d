"""The door to the web page under /ui: shut while the page is being made, which takes longer than to be ready."""

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
LOADING = "The page is loading. The service itself answers already."
FAILED = "The page could not be loaded; the service's log says why. The service itself goes on."


def belongs_to_page(path: str) -> bool:
    """Whether a path is the page's."""
    return path == PAGE or path.startswith(f"{PAGE}/")


class PageMount:
    """Lets requests for the page through to it once it is there; before, answers a page that asks again by itself."""

    def __init__(self) -> None:
        self.said = LOADING
        self._page: FastAPI | None = None
        self._opened = False
        self._shut = asyncio.Event()
        self._open: set[asyncio.Task[object]] = set()

    @property
    def is_ending(self) -> bool:
        """Whether the page was open, so that its background work ends by itself."""
        return self._opened and self._shut.is_set()

    async def keep_open(self, page: FastAPI, opened: Callable[[], None]) -> None:
        """Let requests in until `shut`; the page's own background work lasts as long."""
        async with page.router.lifespan_context(page):
            self._page, self._opened = page, True
            opened()
            await self._shut.wait()

    def shut(self) -> None:
        """Let nobody in any more, and end what the page still streams, which would hold up a shutdown."""
        self._page = None
        self._shut.set()
        for task in self._open:
            task.cancel()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whose path belongs to the page."""
        if self._page is None:
            response = HTMLResponse(_LOADING % self.said, 503, {"Retry-After": "2", "Cache-Control": "no-store"})
            await response(scope, receive, send)
        elif scope["path"] == PAGE:
            await RedirectResponse(f"{PAGE}/")(scope, receive, send)
        else:
            await self._through(self._page, scope, receive, send)

    async def _through(self, page: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        under_way = False

        async def noted(message: Message) -> None:
            nonlocal under_way
            under_way = message["type"] == "http.response.start" or bool(message.get("more_body"))
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await page(scope, receive, noted)
        except asyncio.CancelledError:
            if self._page is not None:
                raise
            if under_way:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._open.discard(task)


class PageLayer:
    """Sends what belongs to the page to its door, and everything else on."""

    def __init__(self, app: ASGIApp, door: PageMount) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and belongs_to_page(scope["path"]):
            await self.door.answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
