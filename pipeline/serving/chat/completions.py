"""`POST /v1/chat/completions`: the router ranks the candidates, and the first whose upstream answers is passed on.

A request may pin a candidate by naming it as its model: then nothing is routed, and no other one steps in.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from pipeline.serving.chat.openai_schemas import (
    DONE,
    ChatRequest,
    ErrorBody,
    JsonObject,
    OpenAIProblem,
    OpenAIRoute,
    event,
)
from pipeline.serving.chat.upstream_client import (
    EMPTY,
    UNSUPPORTED,
    UpstreamClient,
    UpstreamFailed,
    UpstreamRefused,
    require_library,
)
from pipeline.serving.chat.upstreams import ROUTED, Upstreams
from pipeline.serving.engine.log import log
from pipeline.serving.http.request_routing import labelled


@dataclass(frozen=True)
class RoutedChat:
    """What the router said of a prompt: all candidates and the chosen ones, best first, and which version said so."""

    ranking: tuple[str, ...]
    chosen: tuple[str, ...]
    version: str
    provenance_sha256: str


@dataclass(frozen=True)
class FailedAttempt:
    """A candidate whose upstream gave no answer: `reason` is a status, or a word of upstream_client.py."""

    candidate: str
    reason: str


LABELS = "X-Switchtender-Labels"
"""The header in which a chat says what its prompt is, `health, personal_data`, for a pool's `never_send`."""
_CLIENT_GONE = 499
T = TypeVar("T")
Route = Callable[[str, str], RoutedChat]
Answered = Callable[[str, str | None, tuple[FailedAttempt, ...]], None]


def chat_router(route: Route, upstreams: Upstreams, answered: Answered | None = None) -> APIRouter:
    """The endpoint and the list of its models, with errors in OpenAI's form.

    `route(prompt, request_id)` decides, and logs the decision. `answered(request_id, candidate, tried)` is told when
    an answer begins or none will come (candidate None), with those that failed. Both are called in a thread.

    Raises:
        InputError: LiteLLM is not installed.
    """
    require_library()
    chat = _Chat(route, UpstreamClient(upstreams), answered)
    router = APIRouter(route_class=OpenAIRoute, tags=["chat"])
    router.add_api_route(
        "/v1/chat/completions", chat.complete, methods=["POST"], responses=_RESPONSES, response_model=None
    )
    router.add_api_route("/v1/models", chat.models, methods=["GET"])
    router.add_api_route("/v1/models/{model:path}", chat.model, methods=["GET"], responses={404: {"model": ErrorBody}})
    return router


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "As the upstream answered", "content": {"application/json": {}, "text/event-stream": {}}},
    400: {"description": "The request cannot be used", "model": ErrorBody},
    404: {"description": "No such model", "model": ErrorBody},
    413: {"description": "Too large, says this service or the upstream", "model": ErrorBody},
    422: {"description": "The upstream cannot use the request", "model": ErrorBody},
    502: {"description": "No upstream answered", "model": ErrorBody},
    503: {"description": "No version is in service, or none of its candidates has an upstream", "model": ErrorBody},
}


@dataclass
class _Exchange:
    """What is known of one request so far; the response's headers report it."""

    request_id: str
    version: str = ""
    candidate: str | None = None
    tried: list[FailedAttempt] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        facts = {
            "X-Request-ID": self.request_id,
            "X-Switchtender-Version": self.version,
            "X-Switchtender-Candidate": self.candidate or "",
            "X-Switchtender-Tried": ", ".join(f"{tried.candidate}={tried.reason}" for tried in self.tried),
        }
        # Candidates may have any name, whereas a header holds only Latin-1.
        return {name: quote(value, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") for name, value in facts.items() if value}


class _Chat:
    def __init__(self, route: Route, forwarder: UpstreamClient, answered: Answered | None) -> None:
        self.route = route
        self.forwarder = forwarder
        self.upstreams = forwarder.upstreams
        self.answered = answered
        self.since = int(time.time())

    async def complete(self, request: Request, chat: ChatRequest) -> Response:
        """Answer a chat as OpenAI's API does; `model` asks for routing, or pins one candidate."""
        exchange = _Exchange(getattr(request.state, "request_id", None) or uuid.uuid4().hex)
        # `to_thread` copies the context, so the thread that routes finds the labels.
        labelled.set(tuple(filter(None, map(str.strip, request.headers.get(LABELS, "").split(",")))))
        try:
            # Starlette goes on with a handler whose client is gone, and the upstream with an answer that costs money.
            response = await _while_connected(request, self._answer(chat, exchange))
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        except OpenAIProblem as problem:
            problem.headers = exchange.headers()
            raise
        finally:
            request.state.version = exchange.version
        response.headers.update(exchange.headers())
        return response

    def models(self) -> JsonObject:
        """What can be asked for: routing, and each candidate that has an upstream."""
        return {"object": "list", "data": [self._model(name) for name in (ROUTED[0], *self.upstreams.by_candidate)]}

    def model(self, model: str) -> JsonObject:
        """One of the models."""
        self._check_model(model)
        return self._model(model)

    async def _answer(self, chat: ChatRequest, exchange: _Exchange) -> Response:
        _check(chat)
        order = await self._order(chat, exchange)
        try:
            return await self._first_reply(order, chat, exchange)
        except UpstreamRefused as refusal:
            raise OpenAIProblem.quoting(refusal.status, refusal.error) from None
        finally:
            await self._record(exchange)

    async def _order(self, chat: ChatRequest, exchange: _Exchange) -> list[str]:
        """Who is asked, in turn: the pinned candidate, or the chosen ones and then all others by rank."""
        self._check_model(chat.model)
        if chat.model not in ROUTED:
            return [chat.model]
        routed = await asyncio.to_thread(self.route, chat.prompt(), exchange.request_id)
        exchange.version = routed.version
        order = self.upstreams.order((*routed.chosen, *routed.ranking))
        if not order:
            ranked = ", ".join(routed.ranking)
            raise OpenAIProblem(
                503, f"no upstream is configured for any candidate ({ranked}); add one", code="no_upstream"
            )
        return order

    async def _first_reply(self, order: list[str], chat: ChatRequest, exchange: _Exchange) -> Response:
        """The response of the first candidate whose upstream answers; those before it are noted as tried."""
        for candidate in order:
            try:
                response = await self._reply(candidate, chat, exchange.request_id)
            except UpstreamFailed as failure:
                exchange.tried.append(FailedAttempt(candidate, failure.reason))
            except UpstreamRefused as refusal:
                exchange.tried.append(FailedAttempt(candidate, str(refusal.status)))
                raise
            else:
                exchange.candidate = candidate
                return response
        why = ", ".join(f"{tried.candidate} ({tried.reason})" for tried in exchange.tried)
        if all(tried.reason == UNSUPPORTED for tried in exchange.tried):
            raise OpenAIProblem(400, f"no candidate takes every parameter of this request: {why}; leave some out")
        raise OpenAIProblem(502, f"no upstream answered: {why}; try again later", code="upstream_error")

    async def _reply(self, candidate: str, chat: ChatRequest, request_id: str) -> Response:
        if not chat.stream:
            return JSONResponse(await self.forwarder.ask(candidate, chat.body()))
        chunks = self.forwarder.stream(candidate, chat.body())
        # Before the status is sent: after it no other candidate could step in.
        first = await anext(chunks, None)
        if first is None:
            raise UpstreamFailed(EMPTY)
        return _EventStream(first, chunks, {"request_id": request_id, "candidate": candidate})

    async def _record(self, exchange: _Exchange) -> None:
        """Log the candidates that failed, and report who answered."""
        tried = tuple(exchange.tried)
        if tried:
            failed = {each.candidate: each.reason for each in tried}
            log("fallback", request_id=exchange.request_id, answered=exchange.candidate, tried=failed)
        if self.answered is not None:
            await asyncio.to_thread(self.answered, exchange.request_id, exchange.candidate, tried)

    def _check_model(self, model: str) -> None:
        if model not in ROUTED and model not in self.upstreams.by_candidate:
            message = f"the model '{model[:60]}' does not exist; GET /v1/models lists those that do"
            raise OpenAIProblem(404, message, param="model", code="model_not_found")

    def _model(self, name: str) -> JsonObject:
        return {"id": name, "object": "model", "created": self.since, "owned_by": "switchtender"}


class _EventStream(StreamingResponse):
    """The chunks of an answer as server-sent events. The upstream's call ends with the response, however that ends."""

    media_type = "text/event-stream"

    def __init__(self, first: JsonObject, rest: AsyncGenerator[JsonObject, None], source: dict[str, str]) -> None:
        # nginx would collect the events and pass them on together.
        super().__init__(_events(first, rest, source), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.rest.aclose()


async def _events(first: JsonObject, rest: AsyncIterator[JsonObject], source: dict[str, str]) -> AsyncIterator[str]:
    yield event(first)
    try:
        async for chunk in rest:
            yield event(chunk)
    except (UpstreamFailed, UpstreamRefused) as failure:
        log("stream_broke", **source, reason=str(failure))
        problem = OpenAIProblem(502, f"the upstream's stream broke ({failure})", code="upstream_error")
        yield event(problem.body())
    else:
        yield DONE


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled when the client goes away. The body must have been read before.

    Raises:
        ClientDisconnect: the client went away first.
    """
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        # A cancelled task still has its connection to close; the request does not end before it has.
        await asyncio.gather(working, waiting, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Returns once the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check(chat: ChatRequest) -> None:
    """Refuse a body that no upstream could be sent, and several choices in one stream."""
    body = chat.body()
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise OpenAIProblem(
            400, "the body holds NaN, Infinity or half a surrogate pair; send JSON that can be passed on"
        ) from None
    if chat.stream and body.get("n") not in (None, 1):
        raise OpenAIProblem(400, "more than one choice cannot be streamed; set n to 1, or stream to false", param="n")
