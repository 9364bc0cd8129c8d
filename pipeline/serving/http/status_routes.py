"""Routes that say what answers and how it fares: candidates, version, health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.http import openapi_examples as examples
from pipeline.serving.http.errors import Problem
from pipeline.serving.http.request_routing import RequestRouter
from pipeline.serving.http.schemas import (
    AgentsResponse,
    Health,
    Readiness,
    RefusedVersion,
    ServedCandidate,
    VersionResponse,
)


def status_routes(switch: VersionSwitch, journal: Journal, routing: RequestRouter) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["state"])

    @router.get("/v1/agents", response_model=AgentsResponse, **examples.KEYED)
    async def agents() -> AgentsResponse:
        """The candidates of the version in service."""
        served = switch.served
        policy = served.engine.policy.to_json()
        names = served.engine.candidates
        thresholds = policy.get("thresholds") or [None] * len(names)
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
        """200 once prompts are routed. `degraded`: the version that should serve or the pool is refused or unknown."""
        served, refused = switch.served, switch.refused
        if journal.trouble:
            raise Problem(503, "journal_failed", journal.trouble)
        reason = f"version {refused.version} was refused: {refused.reason}" if refused else switch.trouble
        reason = reason or (switch.pool.trouble if switch.pool else "")
        return Readiness(version=served.version, degraded=bool(reason), reason=reason or None)

    @router.get("/metrics", response_class=Response, **examples.METRICS)
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(routing.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
