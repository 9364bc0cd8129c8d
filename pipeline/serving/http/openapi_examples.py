"""What the OpenAPI document says beside the types: examples, errors, and how a key is sent."""

from __future__ import annotations

from typing import Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer

from pipeline.serving.http.schemas import ErrorResponse

DESCRIPTION = (
    "Routes prompts with the version in service. Every response names it in `X-Switchtender-Version`, and itself in "
    "`X-Request-ID`, by which feedback is joined. Where keys are configured, send `Authorization: Bearer KEY` or "
    "`X-API-Key: KEY`."
)
TAGS = [
    {"name": "routing", "description": "Ask, and say what was right."},
    {"name": "state", "description": "What answers, and how it fares."},
]
_ID = "0f8d6c7f8a1b4f0c9f4f6a5a7c1d2e3b"
_MEANINGS = {
    400: "The body cannot be read.",
    401: "No known key was sent.",
    403: "The key has no such right, or the request came through a foreign name or page.",
    413: "The body is too large.",
    422: "A field is unknown, wrong or cannot be met; the message names it.",
    429: "Too many requests are under way; come back after Retry-After seconds.",
    500: "The service failed; its log has the error under the request's id.",
    503: "No version is loaded yet, or decisions cannot be written down.",
    504: "It took too long.",
}
BY_KEY = [
    Security(HTTPBearer(auto_error=False, description="An API key")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
]
"""Only said in the document: a key is asked for before the body is read."""


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorResponse, "description": _MEANINGS[status]} for status in statuses}


def _bodies(**named: dict[str, Any]) -> dict[str, Any]:
    examples = {name: {"summary": name.replace("_", " "), "value": value} for name, value in named.items()}
    return {"requestBody": {"content": {"application/json": {"examples": examples}}}}


_PROMPT = "Translate this contract into German and email it to Ana"
_ANSWER = {
    "request_id": _ID, "version": "2", "run_key": "nightly-2026-11-22-0002", "provenance_sha256": "14aa575a" * 8,
    "policy": "stored",
    "results": [{
        "agents": ["email"], "scores": {"email": 0.070328, "speech": 0.031799}, "ranking": ["email", "speech"],
        "why": [{"prompt_id": "p0478", "agents": ["email", "translation"], "cosine": 0.2024}], "cost_usd": 0.004,
        "choice_probability": 1.0, "below_threshold": True, "tokens": 3, "windows": 1,
        "unsupported_language": None,
    }],
}  # fmt: skip
"""Of a prompt, `hi`, for which no agent reaches its threshold."""
ROUTE: dict[str, Any] = {
    "responses": {
        200: {"content": {"application/json": {"example": _ANSWER}}},
        **_errors(400, 401, 403, 413, 422, 429, 500, 503, 504),
    },
    "dependencies": BY_KEY,
    "openapi_extra": _bodies(
        one_prompt={"prompt": _PROMPT},
        several_prompts={"prompts": [_PROMPT, "Why does my query return every row twice?"], "top_k": 2},
        a_dialogue={
            "prompt": "And now in German.",
            "history": [
                {"role": "user", "content": "Summarise the attached contract."},
                {"role": "assistant", "content": "It is a lease over five years ..."},
            ],
            "history_turns": 1,
        },
        own_thresholds={"prompt": _PROMPT, "thresholds": {"email": 0.8}},
        a_budget={"prompt": _PROMPT, "policy": "budget", "budget_usd": 0.02},
        quality_against_cost={"prompt": _PROMPT, "policy": "willingness", "quality_per_usd": 50.0},
    ),
}
FEEDBACK: dict[str, Any] = {
    "responses": _errors(400, 401, 403, 413, 422, 429, 500, 503, 504),
    "dependencies": BY_KEY,
    "openapi_extra": _bodies(
        the_right_agents={"request_id": _ID, "right": ["translation", "email"], "note": "Ana was to get it"},
        a_rating={"request_id": _ID, "index": 1, "rating": 0.5},
        accepted={"request_id": _ID, "accepted": True},
    ),
}
KEYED: dict[str, Any] = {"responses": _errors(401, 403, 429, 500, 503, 504), "dependencies": BY_KEY}
READINESS: dict[str, Any] = {"responses": _errors(503)}
METRICS: dict[str, Any] = {
    "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_errors(401)},
    "dependencies": BY_KEY,
}
