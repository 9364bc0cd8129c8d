"""The outermost layer: gives each request an id, says which version answers, and counts and logs what came of it."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.engine.hot_swap import NotReady, VersionSwitch
from pipeline.serving.engine.log import log, refusals
from pipeline.serving.http.errors import Problem, answer
from pipeline.serving.http.page_mount import PAGE, belongs_to_page
from pipeline.serving.http.prometheus import Metrics
from pipeline.serving.http.schemas import REQUEST_ID as SOUND

REQUEST_ID, VERSION = "X-Request-ID", "X-Switchtender-Version"
QUIET = ("/", "/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines: logged only when refused."""
FAILED = 500
"""Each of these is logged: its id leads to the error."""


class AccessLog:
    """Law: every response bears a request id and a version, none leads to another host, and no traceback leaves."""

    def __init__(self, app: ASGIApp, switch: VersionSwitch, metrics: Metrics) -> None:
        self.app, self.switch, self.metrics = app, switch, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        began, status = time.perf_counter(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.setdefault(REQUEST_ID, state["request_id"])
                headers.setdefault(VERSION, state.get("version") or self._version())
                if "location" in headers:
                    headers["location"] = _on_this_host(headers["location"])
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, with_headers)
        except Exception as error:
            _log_failure(error, state)
            if status:
                raise  # the response has begun: its status is sent, so only the connection can be broken off
            problem = Problem(500, "internal_error", "the service failed", "its log has the error under this id")
            await answer(problem, scope)(scope, receive, with_headers)
        finally:
            self.metrics.in_flight.dec()
            self._record(scope, status, time.perf_counter() - began)

    def _version(self) -> str:
        try:
            return self.switch.served.version
        except NotReady:
            return "none"

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request and log it; `status` is 0 where no response was begun."""
        state, route = scope["state"], route_of(scope)
        self.metrics.requests.labels(route, status or "gone").inc()
        self.metrics.seconds.labels(route).observe(seconds)
        if "code" in state:
            self.metrics.refusals.labels(state["code"]).inc()
        refused = status >= 400 or not status
        if not refused and (route in QUIET or route == PAGE):
            return
        kind = {
            "route": route,
            "status": status,
            **{name: state[name] for name in ("code", "asked_by") if name in state},
        }
        facts = {
            "request_id": state["request_id"],
            "method": scope["method"][:20],
            "milliseconds": round(seconds * 1000, 2),
            "version": state.get("version") or self._version(),
            **({"prompts": state["prompts"]} if "prompts" in state else {}),
        }
        if refused and status != FAILED:
            refusals.log("request", kind, **facts)
        else:
            log("request", **kind, **facts)


def _request_id(scope: Scope) -> str:
    """The caller's own id where there is one that is sound, by which a request is followed through several services."""
    given = Headers(scope=scope).getlist(REQUEST_ID)
    return given[0] if len(given) == 1 and re.fullmatch(SOUND, given[0]) else uuid.uuid4().hex


def route_of(scope: Scope) -> str:
    """The route's pattern; the path as sent would, as a label, make a metric for each path that anyone tries."""
    if belongs_to_page(scope["path"]):
        return PAGE
    route: Any = scope.get("route")
    return getattr(route, "path", "other")


def _on_this_host(location: str) -> str:
    """An address without scheme and host: a framework makes them of the Host header, which may name any site."""
    parts = urlsplit(location)
    if not parts.scheme and not parts.netloc:
        return location
    # A path that begins with two slashes would name a host again.
    return urlunsplit(("", "", f"/{parts.path.lstrip('/')}", parts.query, parts.fragment))


def _log_failure(error: Exception, state: dict[str, Any]) -> None:
    """Log an error's class and where it was raised, without its message, which may quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log("failure", request_id=state["request_id"], kind=type(error).__name__, places=places)
