"""The HTTP service: routes over a switch, a journal and keys. It knows no registry and starts nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tracing import is_wanted
from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.engine.scored import usd
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http import errors as problems
from pipeline.serving.http import openapi_examples as examples
from pipeline.serving.http.access_log import AccessLog
from pipeline.serving.http.auth import ApiKeys, BrowserGuard, KeyGuard
from pipeline.serving.http.errors import Problem
from pipeline.serving.http.feedback import feedback_entry
from pipeline.serving.http.head_requests import HeadRequests
from pipeline.serving.http.json_body import JsonRoute
from pipeline.serving.http.limits import API, BodyLimit, ConcurrencyLimit, TimeLimit
from pipeline.serving.http.page_mount import PageLayer, PageMount
from pipeline.serving.http.request_routing import RequestRouter, RoutedTexts, RoutingRequest, scores_of
from pipeline.serving.http.request_traces import RequestTraces
from pipeline.serving.http.schemas import (
    FeedbackRequest,
    FeedbackResponse,
    Near,
    RouteRequest,
    RouteResponse,
    RouteResult,
)
from pipeline.serving.http.status_routes import chat_is_missing, front_door, status_routes


def application(
    switch: VersionSwitch,
    params: ServeParams,
    keys: ApiKeys,
    journal: Journal,
    *,
    chat: APIRouter | None = None,
    routing: RequestRouter | None = None,
    page: PageMount | None = None,
) -> FastAPI:
    """The application. `chat` adds its routes, `page` what is under /ui; `routing` is shared with whoever else routes.

    Whoever runs it starts and stops the switch and closes routing and journal.
    """
    routing = routing or RequestRouter(switch, params, journal)
    # Outermost first: the log sees every refusal; the page logs people in by itself, so it comes before the keys; no
    # body is read before its key is known, and its reading counts against the time limit.
    layers = [
        *([Middleware(RequestTraces)] if is_wanted() else []),
        Middleware(AccessLog, switch=switch, metrics=routing.metrics),
        Middleware(BrowserGuard, keys=keys, host=params.host),
        *([Middleware(PageLayer, mount=page)] if page else []),
        Middleware(KeyGuard, keys=keys),
        Middleware(ConcurrencyLimit, path=API, requests=params.concurrent_requests),
        Middleware(TimeLimit, seconds=params.seconds_per_request),
        Middleware(BodyLimit, most=params.max_body_bytes, most_of_chat=params.max_chat_body_bytes),
        Middleware(HeadRequests),
    ]
    app = FastAPI(
        title="Switchtender",
        description=examples.DESCRIPTION,
        version="1",
        docs_url=None,  # the framework's page of documentation is fetched from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        middleware=layers,
        openapi_tags=examples.TAGS,
    )
    app.include_router(_routing_routes(routing, params))
    app.include_router(status_routes(switch, journal, routing, page))
    app.include_router(chat or chat_is_missing())
    app.include_router(front_door(has_chat=chat is not None, has_page=page is not None))
    _answer_errors(app)
    return app


def _routing_routes(routing: RequestRouter, params: ServeParams) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["routing"], route_class=JsonRoute)

    @router.post("/route", response_model=RouteResponse, **examples.ROUTE)
    async def route(asked: RouteRequest, request: Request) -> Response:
        """Which agents answer one prompt or several: every score, the ranking, and the nearest training prompts."""
        texts = asked.texts()
        _require_small(texts, params)
        routed = await routing.route(RoutingRequest(request.state.request_id, texts, asked.options()))
        request.state.version, request.state.prompts = routed.served.version, len(texts)
        evidence = await _evidence(routed, texts) if asked.explain else [None] * len(texts)
        return _json(_answer(request.state.request_id, routed, evidence))

    @router.post("/feedback", response_model=FeedbackResponse, status_code=202, **examples.FEEDBACK)
    async def feedback(said: FeedbackRequest, request: Request) -> Response:
        """Say what was right. It is kept for the next review of labels, and changes nothing at once."""
        entry = feedback_entry(said, routing.remembered(said.request_id))
        await asyncio.wrap_future(routing.journal.feedback(entry))
        routing.metrics.feedback.inc()
        answer = FeedbackResponse(request_id=said.request_id, index=said.index, matched=entry["matched"])
        return _json(answer, 202)

    return router


def _require_small(texts: tuple[str, ...], params: ServeParams) -> None:
    if len(texts) > params.max_prompts:
        hint = f"send at most {params.max_prompts} a request"
        raise Problem(422, "too_many_prompts", f"prompts: {len(texts)} are too many", hint)
    for index, text in enumerate(texts):
        if len(text) > (most := params.max_prompt_characters):
            hint = f"send at most {most} characters a prompt, with the turns of history before it"
            where = f"prompts.{index}" if len(texts) > 1 else "the prompt"
            raise Problem(422, "prompt_too_long", f"{where} has {len(text)} characters", hint)


def _answer(request_id: str, routed: RoutedTexts, evidence: Sequence[dict[str, Any] | None]) -> RouteResponse:
    served = routed.served
    return RouteResponse(
        request_id=request_id,
        version=served.version,
        run_key=served.run_key or None,
        provenance_sha256=served.provenance_sha256 or None,
        policy=routed.decisions[0].policy,
        results=[_result(routed, index, known) for index, known in enumerate(evidence)],
    )


async def _evidence(routed: RoutedTexts, texts: Sequence[str]) -> list[dict[str, Any] | None]:
    """How the version that routed the texts explains their scores; None where it cannot."""
    # In a thread: an explanation may encode the prompt again.
    return [await asyncio.to_thread(routed.served.engine.explain, text) for text in texts]


def _result(routed: RoutedTexts, index: int, evidence: dict[str, Any] | None) -> RouteResult:
    scored, decision = routed.scored[index], routed.decisions[index]
    costs = dict(zip(routed.served.engine.candidates, scored.cost.tolist(), strict=True))
    cost = sum(costs[name] for name in decision.chosen)
    return RouteResult(
        agents=list(decision.chosen),
        scores=scores_of(routed.served, scored),
        ranking=list(decision.ranking),
        why=[
            Near(prompt_id=near.prompt_id, agents=list(near.agents), cosine=round(near.cosine, 4))
            for near in scored.neighbours
        ],
        cost_usd=usd(cost),
        choice_probability=decision.probability,
        below_threshold=decision.below_threshold,
        tokens=scored.tokens,
        windows=scored.windows,
        unsupported_language=scored.unsupported_language,
        evidence=evidence,
    )


def _json(content: BaseModel, status: int = 200) -> Response:
    """The response as it is; the framework would check it against its model once more."""
    return Response(content.model_dump_json(), status, media_type="application/json")


def _answer_errors(app: FastAPI) -> None:
    """Every error in the one form."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return problems.answer(error, request.scope)

    @app.exception_handler(SwitchtenderError)
    async def ours(request: Request, error: SwitchtenderError) -> Response:
        return problems.answer(problems.of_error(error), request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problems.answer(problems.of_validation(error.errors(), _fields(request)), request.scope)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        found = problems.of_status(error.status_code, request.url.path, request.method, headers)
        return problems.answer(found, request.scope)


def _fields(request: Request) -> list[str]:
    """The fields that the body of this route may have."""
    body: Any = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body, "field_info", None), "annotation", None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
