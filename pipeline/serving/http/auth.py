"""Who gets in: ASGI layers that refuse before a body is read."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.runtime.errors import ParamsError
from pipeline.runtime.hosts import LOOPBACK
from pipeline.runtime.named_secret import named_text
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
        elif origin is not None and place_of(origin) != host:
            problem = Problem(403, "foreign_origin", "without API keys no page of another origin is answered")
        else:
            await self.app(scope, receive, send)
            return
        await answer(problem, scope)(scope, receive, send)


def place_of(origin: str) -> str:
    """Host and port of an origin; nothing where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


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


ROUTE, REVIEW, PROMOTE, NIGHT = "route", "review", "promote", "night"


RIGHTS = frozenset({ROUTE, REVIEW, PROMOTE, NIGHT})


SHORTEST_SECRET = 16


@dataclass(frozen=True)
class KeyHolder:
    """Whoever asks: a name for the logs, and what they may do (`may` is a subset of RIGHTS)."""

    name: str
    may: frozenset[str]


ANONYMOUS = KeyHolder("anonymous", RIGHTS)
"""Everybody on this machine, where no keys are configured."""


class ApiKeys:
    """Every configured key. Without any, whoever reaches the service is ANONYMOUS and may do everything."""

    def __init__(self, holders: dict[bytes, KeyHolder]) -> None:
        self._holders = holders

    @property
    def required(self) -> bool:
        return bool(self._holders)

    @classmethod
    def read(cls, where: str, root: Path = Path()) -> ApiKeys:
        """Read keys from `env:NAME` or `file:PATH` (relative to `root`); "" means that there are none.

        Raises:
            ParamsError: another form, nothing there, no key in it, or a line that cannot be used.
        """
        if not where:
            return cls({})
        holders = _parsed(named_text("list of keys", where, root), where)
        if not holders:
            raise ParamsError(f"keys: {where} holds no key; write lines of `name secret route,review,promote,night`")
        return cls(holders)

    def holder(self, secret: str | None) -> KeyHolder | None:
        """Whose secret this is, or None. The comparison takes as long for a wrong secret as for a right one."""
        if not self.required:
            return ANONYMOUS
        given = _digest(secret or "")
        found = None
        # No early exit: the time taken must not say where in the list a key stands.
        for known, person in self._holders.items():
            if hmac.compare_digest(known, given):
                found = person
        return found

    def named(self, name: str) -> KeyHolder | None:
        """The holder of this name, or None."""
        return next((person for person in self._holders.values() if person.name == name), None)

    def signature(self, name: str, text: str) -> str:
        """What is said of a text with the key of whoever has this name, in hexadecimal; empty where nobody has it."""
        secret = next((digest for digest, person in self._holders.items() if person.name == name), None)
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest() if secret else ""


def _parsed(text: str, where: str) -> dict[bytes, KeyHolder]:
    """Every key's holder, by the digest of its secret."""
    holders: dict[bytes, KeyHolder] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        digest, person = _entry(words, f"keys: {where}, line {number}")
        if digest in holders or person.name in {known.name for known in holders.values()}:
            raise ParamsError(f"keys: {where}, line {number}: a name or secret occurs twice; give each its own")
        holders[digest] = person
    return holders


def _entry(words: list[str], place: str) -> tuple[bytes, KeyHolder]:
    if len(words) != 3:
        raise ParamsError(f"{place}: expected `name secret rights`, found {len(words)} words")
    name, secret, rights = words
    may = frozenset(rights.split(","))
    if not may <= RIGHTS:
        raise ParamsError(f"{place}: unknown right '{min(may - RIGHTS)}'; known are {', '.join(sorted(RIGHTS))}")
    if len(secret) < SHORTEST_SECRET:
        raise ParamsError(
            f"{place}: the secret of {name} is shorter than {SHORTEST_SECRET} characters; make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return _digest(secret), KeyHolder(name, may)


def _digest(secret: str) -> bytes:
    """A secret's sha256. Unsalted, since digests never leave memory: they are only of one length, for comparing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
