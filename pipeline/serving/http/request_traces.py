"""A span for each request, where the environment asks for traces: its route, status and version, never a prompt."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.runtime.tracing import caller_of, mark_failed, span
from pipeline.serving.http.access_log import FAILED, route_of

_TOLD = ("request_id", "version", "prompts", "asked_by", "code")


class RequestTraces:
    """An ASGI layer around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"][:20]
        facts, caller = {"http.request.method": method}, caller_of(Headers(scope=scope))
        with span(method, facts, parent=caller, tells_errors=False, is_request=True) as traced:
            await self.app(scope, receive, noting)
            if traced:
                state, route = scope.get("state", {}), route_of(scope)
                traced.update_name(f"{method} {route}")
                known = {f"switchtender.{name}": state[name] for name in _TOLD if name in state}
                traced.set_attributes({"http.route": route, "http.response.status_code": status, **known})
                if status >= FAILED:
                    mark_failed(traced)
