"""The chat endpoint put together with the router: whoever answers, and what is written down of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter

from pipeline.runtime.errors import InputError
from pipeline.serving.chat.completions import RoutedChat, chat_router
from pipeline.serving.chat.exchange import FailedAttempt
from pipeline.serving.chat.upstream_client import start_preparing
from pipeline.serving.chat.upstreams import Upstreams
from pipeline.serving.engine.decision import RoutingOptions
from pipeline.serving.engine.log import timestamp
from pipeline.serving.http.request_routing import CHAT, RequestRouter, RoutingRequest, labelled


def chat_of(routing: RequestRouter, upstreams: Path) -> APIRouter:
    """The chat endpoint, which routes and writes down as the others do."""

    def route(prompt: str, request_id: str) -> RoutedChat:
        if len(prompt) > (most := routing.params.max_prompt_characters):
            raise InputError(f"the prompt has {len(prompt)} characters; send at most {most}")
        if not prompt:
            served, ranking = routing.unread(labelled.get())
            return RoutedChat(ranking, (), served.version, served.provenance_sha256)
        routed = routing.route_now(RoutingRequest(request_id, (prompt,), RoutingOptions(labels=labelled.get()), CHAT))
        decision, served = routed.decisions[0], routed.served
        return RoutedChat(decision.ranking, decision.chosen, served.version, served.provenance_sha256)

    def answered(request_id: str, candidate: str | None, tried: tuple[FailedAttempt, ...]) -> None:
        entry: dict[str, Any] = {"at": timestamp(), "request_id": request_id}
        failed = [{"candidate": one.candidate, "reason": one.reason} for one in tried]
        routing.journal.forwarded(entry | {"candidate": candidate, "tried": failed})

    known = Upstreams.read(upstreams)
    start_preparing(known)
    return chat_router(route, known, answered)
