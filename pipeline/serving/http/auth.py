"""Who gets in: ASGI layers that refuse before a body is read."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.runtime.hosts import LOOPBACK
from pipeline.serving.http.api_keys import ROUTE, ApiKeys
from pipeline.serving.http.errors import Problem, answer
from pipeline.serving.http.limits import API
from pipeline.serving.http.request_routing import asked_by

METRICS = "/metrics"


class KeyGuard:
    """Asks for a key where keys are configured: with the right `route` for the API, with any right for the metrics."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith((API, METRICS)):
            await self.app(scope, receive, send)
            return
        person = self.keys.holder(_secret(Headers(scope=scope)))
        if person is None:
            problem = Problem(
                401,
                "key_needed",
                "no known API key was sent",
                "Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )
            await answer(problem, scope)(scope, receive, send)
        elif scope["path"].startswith(API) and ROUTE not in person.may:
            problem = Problem(403, "not_allowed", f"the key of {person.name} has no right '{ROUTE}'")
            await answer(problem, scope)(scope, receive, send)
        else:
            scope.setdefault("state", {})["asked_by"] = person.name
            # A context variable: what the handler awaits or runs by `to_thread` finds the name without being handed it.
            token = asked_by.set(person.name)
            try:
                await self.app(scope, receive, send)
            finally:
                asked_by.reset(token)


class BrowserGuard:
    """Without keys everybody on this machine may do everything, so a web page from elsewhere must not speak for them.

    Refused are host names that are not this machine's (a foreign name may point here), and what a page of another
    origin sends.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, host: str) -> None:
        self.app, self.keys = app, keys
        self.names = LOOPBACK | {host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self.keys.required:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        # DNS rebinding: to the browser a foreign name that resolves to this machine is that site's own origin.
        if _hostname(host) not in self.names:
            problem = Problem(403, "foreign_host", "without API keys only this machine's own name is answered")
        elif origin is not None and urlsplit(origin).netloc != host:
            problem = Problem(403, "foreign_origin", "without API keys no page of another origin is answered")
        else:
            await self.app(scope, receive, send)
            return
        await answer(problem, scope)(scope, receive, send)


def _hostname(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _secret(headers: Headers) -> str | None:
    """The key that a request bears, as a bearer token or in X-API-Key."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else headers.get("x-api-key")
