"""`POST /v1/chat/completions`: the router ranks the candidates, and the first whose upstream answers is passed on.

A request may pin a candidate by naming it as its model: then nothing is routed, and no other one steps in.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from pipeline.serving.chat.disconnects import while_connected
from pipeline.serving.chat.exchange import Exchange
from pipeline.serving.chat.exchange import FailedAttempt as FailedAttempt
from pipeline.serving.chat.failures import EMPTY, UpstreamFailed, UpstreamRefused
from pipeline.serving.chat.litellm_library import require_library
from pipeline.serving.chat.media import able, media_in
from pipeline.serving.chat.openai_schemas import (
    DONE,
    ChatRequest,
    ErrorBody,
    JsonObject,
    OpenAIProblem,
    OpenAIRoute,
    encoded,
    event,
)
from pipeline.serving.chat.upstream_client import UpstreamClient
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


LABELS = "X-Switchtender-Labels"
"""The header in which a chat says what its prompt is, `health, personal_data`, for a pool's `never_send`."""
_CLIENT_GONE = 499
Route = Callable[[str, str], RoutedChat]
Answered = Callable[[str, str | None, tuple[FailedAttempt, ...]], None]


def chat_router(route: Route, upstreams: Upstreams, answered: Answered | None = None) -> APIRouter:
    """The endpoint and the list of its models, with errors in OpenAI's form.

    `route(prompt, request_id)` decides, and logs the decision; a prompt without text (a picture alone) is not read, and
    only who may answer it is told. `answered(request_id, candidate, tried)` is told when
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


class _Chat:
    def __init__(self, route: Route, forwarder: UpstreamClient, answered: Answered | None) -> None:
        self.route = route
        self.forwarder = forwarder
        self.upstreams = forwarder.upstreams
        self.answered = answered
        self.since = int(time.time())

    async def complete(self, request: Request, chat: ChatRequest) -> Response:
        """Answer a chat as OpenAI's API does; `model` asks for routing, or pins one candidate."""
        exchange = Exchange(getattr(request.state, "request_id", None) or uuid.uuid4().hex)
        # `to_thread` copies the context, so the thread that routes finds the labels.
        labelled.set(tuple(filter(None, map(str.strip, request.headers.get(LABELS, "").split(",")))))
        try:
            response = await while_connected(request, self._answer(chat, exchange))
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        except OpenAIProblem as problem:
            problem.headers |= exchange.headers()
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

    async def _answer(self, chat: ChatRequest, exchange: Exchange) -> Response:
        _check(chat)
        order = await self._order(chat, exchange)
        try:
            return await self._first_reply(order, chat, exchange)
        except UpstreamRefused as refusal:
            raise OpenAIProblem.quoting(refusal.status, refusal.error) from None
        finally:
            await self._record(exchange)

    async def _order(self, chat: ChatRequest, exchange: Exchange) -> list[str]:
        """Who is asked, in turn: the pinned candidate, or the chosen ones and then all others by rank."""
        self._check_model(chat.model)
        if chat.model not in ROUTED:
            return [chat.model]
        prompt = chat.prompt()
        routed = await asyncio.to_thread(self.route, prompt, exchange.request_id)
        exchange.version = routed.version
        order = self.upstreams.order((*routed.chosen, *routed.ranking))
        if not order:
            ranked = ", ".join(routed.ranking)
            raise OpenAIProblem(
                503, f"no upstream is configured for any candidate ({ranked}); add one", code="no_upstream"
            )
        return await able(order, media_in(chat.messages), self.upstreams, is_all=not prompt)

    async def _first_reply(self, order: list[str], chat: ChatRequest, exchange: Exchange) -> Response:
        """The response of the first candidate whose upstream answers; those before it are noted as tried."""
        for candidate in order:
            try:
                response = await self._reply(candidate, chat, exchange.request_id)
            except UpstreamFailed as failure:
                exchange.failures.append((candidate, failure))
            except UpstreamRefused as refusal:
                exchange.failures.append((candidate, refusal))
                raise
            else:
                exchange.candidate = candidate
                return response
        raise exchange.unanswered()

    async def _reply(self, candidate: str, chat: ChatRequest, request_id: str) -> Response:
        if not chat.stream:
            return Response(encoded(await self.forwarder.ask(candidate, chat.body())), media_type="application/json")
        chunks = self.forwarder.stream(candidate, chat.body())
        # Before the status is sent: after it no other candidate could step in.
        first = await anext(chunks, None)
        if first is None:
            raise UpstreamFailed(EMPTY)
        return _EventStream(first, chunks, {"request_id": request_id, "candidate": candidate})

    async def _record(self, exchange: Exchange) -> None:
        """Log the candidates that failed, and report who answered."""
        tried = exchange.tried
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
        log("stream_broke", **source, reason=failure.reason)
        problem = OpenAIProblem(502, f"the upstream's stream broke ({failure})", code="upstream_error")
        yield event(problem.body())
    else:
        yield DONE


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
