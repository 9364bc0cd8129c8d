"""The page's door where keys are required: a form that asks for name and key, and from then on a signed cookie.

The cookie says who it is and until when, signed with that person's key. So it outlives a restart of the service, and
ends with the key; nothing is kept of it here.
"""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.rendering import draw

SECONDS = 14 * 24 * 3600
_DIGITS = 12
"""Of a moment in seconds, for some 30,000 years."""
FORM = "application/x-www-form-urlencoded"
WRONG = "That name and that key do not belong together."


class Login:
    """An ASGI layer over the page at `path`: lets in whom it knows, and asks everybody else for name and key."""

    def __init__(self, app: ASGIApp, path: str, keys: ApiKeys) -> None:
        self.app, self.path, self.keys = app, path, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        name = self._name_in(request.cookies.get(_cookie(request), ""))
        if scope["path"] == f"{self.path}/logout":
            response = self._logged_out(request)
        elif name:
            scope.setdefault("state", {})["visitor"] = name
            await self.app(scope, receive, send)
            return
        elif request.method == "POST" and request.headers.get("content-type", "").startswith(FORM):
            response = await self._logged_in(request)
        elif "text/html" in request.headers.get("accept", ""):
            response = _form()
        else:
            response = PlainTextResponse("log in again", 401)
        await response(scope, receive, send)

    def _name_in(self, cookie: str) -> str:
        """Who bears the cookie; empty where it is none of ours, has expired, or the key is no longer the same."""
        name, until, signature = [*cookie.split("."), "", "", ""][:3]
        name = unquote(name)
        known = self.keys.signature(name, until)
        in_time = until.isdecimal() and len(until) <= _DIGITS and time.time() < int(until)
        return name if known and in_time and hmac.compare_digest(known.encode(), signature.encode()) else ""

    async def _logged_in(self, request: Request) -> Response:
        """Back to what was asked for; the form again where name and key do not belong together."""
        given = parse_qs((await request.body()).decode("utf-8", "replace"))
        name, key = (given.get(field, [""])[0] for field in ("name", "key"))
        person = self.keys.holder(key)
        if person is None or person.name != name.strip():
            return _form(WRONG)
        until = str(int(time.time()) + SECONDS)
        value = f"{_escaped(person.name)}.{until}.{self.keys.signature(person.name, until)}"
        # Relative, and below the page whatever was asked for: a fragment of the address stays with the browser.
        query = f"?{request.url.query}" if request.url.query else ""
        response = RedirectResponse(f"./{request.url.path.rsplit('/', 1)[-1]}{query}", 303)
        response.set_cookie(_cookie(request), value, max_age=SECONDS, **self._scope(request))
        return response

    def _logged_out(self, request: Request) -> Response:
        response = RedirectResponse("./", 303)
        response.delete_cookie(_cookie(request), **self._scope(request))
        return response

    def _scope(self, request: Request) -> dict[str, Any]:
        """Where the browser sends the cookie: to the page alone, and never for a page of another site."""
        return {"path": self.path, "secure": request.url.scheme == "https", "httponly": True, "samesite": "lax"}


def _cookie(request: Request) -> str:
    """By port, since browsers keep no cookies of two services on one machine apart."""
    server = request.scope.get("server") or ("", "")
    return f"switchtender-{server[1]}"


def _escaped(name: str) -> str:
    """A name without what parts a cookie's fields."""
    return quote(name, safe="").replace(".", "%2E")


def _form(wrong: str = "") -> Response:
    return HTMLResponse(draw("login", wrong=wrong), 401, {"Cache-Control": "no-store"})
