"""What stands before Gradio: nothing comes from another site, nothing is asked of another site, no files."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.runtime.track import TRACKS
from pipeline.serving.http.auth import place_of
from pipeline.serving.page.report_links import FOLDER

HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""The browser itself refuses to load anything from elsewhere. Gradio's templates need inline and evaluated scripts."""
OPEN = ("", "/", *(f"/{name}" for name in TRACKS), "/config", "/theme.css", "/logout", "/gradio_api/run/predict")
OPEN_BELOW = ("/assets/", "/static/", f"/{FOLDER}/")
"""All that the page asks for. What else Gradio offers is closed: streams without end, files, a public interface."""


class SecurityHeaders:
    """An ASGI layer over the page at `path`.

    A page of another site, open in the same browser, must not speak for the person who is logged in here: Gradio's
    own rules would let it where the service has a public name.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.open = frozenset(f"{path}{name}" for name in OPEN)
        self.open_below = tuple(f"{path}{name}" for name in OPEN_BELOW)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif not same_origin(Headers(scope=scope)):
            await PlainTextResponse("this request comes from another site", 403)(scope, receive, send)
        elif scope["path"] not in self.open and not scope["path"].startswith(self.open_below):
            await PlainTextResponse("not found", 404)(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))


def same_origin(headers: Headers) -> bool:
    """Whether a request comes from no page or from one of this service; a proxy may name the host that was asked."""
    origin = headers.get("origin")
    if origin is None:
        return True
    # A foreign page cannot set X-Forwarded-Host: the browser would ask first (CORS), and that question is refused here.
    return bool(origin) and place_of(origin) in (headers.get("host"), headers.get("x-forwarded-host"))


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
