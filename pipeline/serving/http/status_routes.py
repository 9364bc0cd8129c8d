"""Routes that say what answers and how it fares: candidates, version, health, readiness, metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, RedirectResponse

from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.http import openapi_examples as examples
from pipeline.serving.http.errors import Problem
from pipeline.serving.http.page_mount import LOADING, PAGE, PageMount
from pipeline.serving.http.request_routing import RequestRouter
from pipeline.serving.http.schemas import (
    AgentsResponse,
    Health,
    Readiness,
    RefusedVersion,
    ServedCandidate,
    VersionResponse,
)


def status_routes(
    switch: VersionSwitch, journal: Journal, routing: RequestRouter, page: PageMount | None = None
) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["state"])

    @router.get("/v1/agents", response_model=AgentsResponse, **examples.KEYED)
    async def agents() -> AgentsResponse:
        """The candidates of the version in service."""
        served = switch.served
        policy = served.engine.policy.to_json()
        names = served.engine.candidates
        has_lines = "thresholds" in policy and not policy.get("exactly_one")
        thresholds = policy["thresholds"] if has_lines else [None] * len(names)
        costs = await routing.costs(served)
        rows = zip(names, thresholds, costs, strict=True)
        candidates = [ServedCandidate(name=name, threshold=threshold, cost_usd=cost) for name, threshold, cost in rows]
        return AgentsResponse(version=served.version, policy=policy, candidates=candidates)

    @router.get("/v1/version", response_model=VersionResponse, **examples.KEYED)
    async def version() -> VersionResponse:
        """The version that answers, and one that was refused."""
        served, refused = switch.served, switch.refused
        return VersionResponse(
            version=served.version,
            run_key=served.run_key or None,
            provenance_sha256=served.provenance_sha256 or None,
            precision=served.engine.precision,
            since=served.since or None,
            loaded_at=served.loaded_at,
            refused=RefusedVersion(version=refused.version, reason=refused.reason, at=refused.at) if refused else None,
            trouble=switch.trouble or None,
        )

    @router.get("/healthz", response_model=Health)
    async def healthz() -> Health:
        """200 as long as the process lives."""
        return Health()

    @router.get("/readyz", response_model=Readiness, **examples.READINESS)
    async def readyz() -> Readiness:
        """200 once prompts are routed at full speed.

        `degraded`: the version that should serve or the pool is refused or unknown.
        """
        served, refused = switch.served, switch.refused
        if journal.trouble:
            raise Problem(503, "journal_failed", journal.trouble)
        if page is not None and page.is_loading:
            raise Problem(503, "not_ready", LOADING, "prompts are routed already, but slowly", {"Retry-After": "2"})
        reason = f"version {refused.version} was refused: {refused.reason}" if refused else switch.trouble
        reason = reason or (switch.pool.trouble if switch.pool else "")
        return Readiness(version=served.version, degraded=bool(reason), reason=reason or None)

    @router.get("/metrics", response_class=Response, **examples.METRICS)
    async def metrics() -> Response:
        """Counters for Prometheus."""
        # In a thread: some of it is read from files.
        text = await asyncio.to_thread(routing.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def front_door(*, has_chat: bool, has_page: bool) -> APIRouter:
    """`GET /`: the page, or where there is none, what can be asked and where."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def root() -> Response:
        """Where a person or a load balancer comes in."""
        if has_page:
            return RedirectResponse(f"{PAGE}/")
        chat = {"chat": "POST /v1/chat/completions", "models": "GET /v1/models"} if has_chat else {}
        return JSONResponse({"service": "switchtender", **_PLACES, **chat})

    return router


_PLACES = {
    "route": "POST /v1/route",
    "feedback": "POST /v1/feedback",
    "agents": "GET /v1/agents",
    "version": "GET /v1/version",
    "health": "GET /healthz",
    "readiness": "GET /readyz",
    "metrics": "GET /metrics",
    "interface": "GET /openapi.json",
}


def chat_is_missing() -> APIRouter:
    """What stands where the chat endpoint would, were there upstreams: what to configure."""
    router = APIRouter(include_in_schema=False)

    async def missing() -> Any:
        hint = "name a file in serve.upstreams of params.yaml, or start with --upstreams FILE; docs/chat.md shows one"
        raise Problem(404, "no_upstreams", "chats are not offered here: no upstreams are configured", hint)

    for path in ("/v1/chat/completions", "/v1/models", "/v1/models/{model:path}"):
        router.add_api_route(path, missing, methods=["GET", "POST"])
    return router
