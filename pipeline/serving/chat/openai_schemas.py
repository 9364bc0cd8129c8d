"""OpenAI's chat protocol as far as we speak it ourselves: the request, the answer's shape, a stream's events."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from pipeline.data.prompt_text import EMPTY, fault_in_text
from pipeline.runtime.errors import InputError, SwitchtenderError, as_piece
from pipeline.runtime.text import is_blank, is_unicode
from pipeline.serving.chat.media import media_in
from pipeline.serving.http.errors import ErrorAnswer
from pipeline.serving.http.json_body import JsonRoute
from pipeline.serving.http.messages import text_of

JsonObject = dict[str, Any]
DONE = "data: [DONE]\n\n"

_EXAMPLE: JsonObject = {
    "model": "switchtender",
    "messages": [{"role": "user", "content": "Translate this contract into German and email it to Ana."}],
}


class ChatRequest(BaseModel):
    """A request for a chat completion. Only what routing needs is looked at; all other fields go on untouched."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    model: str = Field(default="switchtender", description="`switchtender` or `auto` to route, or one candidate's name")
    messages: list[JsonObject] = Field(min_length=1)
    stream: bool | None = None

    def body(self) -> JsonObject:
        """What goes on to an upstream: the fields that were given, but the model."""
        return self.model_dump(exclude_unset=True, exclude={"model"})

    def prompt(self) -> str:
        """The text of the latest user message, which decides the route; empty where it is a picture or the like alone.

        Raises:
            InputError: there is no user message, or it holds nothing.
        """
        latest = next((message for message in reversed(self.messages) if message.get("role") == "user"), None)
        if latest is None:
            raise InputError("messages: there is no message of role 'user', by which to route; add one")
        text = text_of(latest.get("content"))
        if fault := fault_in_text(text):
            raise InputError(f"messages: {fault}")
        if not is_blank(text):
            return text
        if media_in([latest]):
            return ""
        raise InputError(f"messages: the latest user message holds no text, by which to route; {EMPTY}")


def encoded(content: JsonObject) -> str:
    """JSON of what an upstream said; half surrogate pairs, into which some cut an emoji, go on as they came, escaped.

    A number that JSON does not have (vLLM is known to give `-Infinity` as a log probability) becomes null.
    """
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return encoded(_with_finite_numbers(content))
    return text if is_unicode(text) else json.dumps(content, separators=(",", ":"))


def _with_finite_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_finite_numbers(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [_with_finite_numbers(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def event(content: JsonObject) -> str:
    """One server-sent event."""
    return f"data: {encoded(content)}\n\n"


def completion(answer: JsonObject, candidate: str) -> JsonObject:
    """A whole answer as LiteLLM gives it (without its nulls), in OpenAI's own shape, named after the candidate."""
    for choice in answer.get("choices", []):
        choice.pop("provider_specific_fields", None)
        choice.setdefault("logprobs", None)
        message = choice.get("message", {})
        refusal = message.pop("provider_specific_fields", {}).get("refusal")
        choice["message"] = {"content": None, "refusal": refusal} | message
    return answer | {"model": candidate}


def chunk(piece: JsonObject, candidate: str) -> JsonObject | None:
    """A chunk as LiteLLM gives it (without its nulls), in OpenAI's own shape; None where it says nothing.

    LiteLLM ends each stream with a chunk for the usage, which it makes up where the upstream gave none.
    """
    piece.pop("provider_specific_fields", None)
    if piece.get("usage"):
        return piece | {"model": candidate, "choices": []} if piece["usage"].get("total_tokens") else None
    for choice in piece["choices"]:
        choice["delta"].pop("provider_specific_fields", None)
        choice.setdefault("finish_reason", None)
    says = any(choice["delta"] or choice["finish_reason"] for choice in piece["choices"])
    return piece | {"model": candidate} if says else None


class ErrorFields(BaseModel):
    """Why there is no answer."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of an error."""

    error: ErrorFields


class OpenAIProblem(Exception):
    """Why a request gets no answer: an HTTP status, a line, and OpenAI's `param` and `code`."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        kind = {429: "rate_limit_error"}.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}

    @classmethod
    def quoting(cls, status: int, said: dict[str, Any]) -> OpenAIProblem:
        """What an upstream said in OpenAI's form; fields that it left empty are ours."""
        problem = cls(status, str(said["message"]))
        problem.error |= {name: value for name, value in said.items() if value is not None}
        return problem

    def body(self) -> dict[str, Any]:
        return {"error": self.error}

    def response(self) -> Response:
        return ErrorAnswer(self.body(), self.status, self.headers)


class OpenAIRoute(JsonRoute):
    """A route whose errors are in OpenAI's form, those of its dependencies and of the body's shape included."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def in_form(request: Request) -> Response:
            try:
                return await handle(request)
            except (OpenAIProblem, RequestValidationError, HTTPException, SwitchtenderError) as error:
                problem = _problem(error)
                request.state.code = f"chat_{problem.status}"
                return problem.response()

        return in_form


def _problem(error: Exception) -> OpenAIProblem:
    if isinstance(error, OpenAIProblem):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        if first["type"] == "json_invalid":
            return OpenAIProblem(400, f"the body is not valid JSON: {as_piece(first['ctx']['error'])}")
        return OpenAIProblem(400, f"{where or 'body'}: {as_piece(first['msg'])}", param=where or None)
    if isinstance(error, HTTPException):
        problem = OpenAIProblem(error.status_code, str(error.detail))
        problem.headers = dict(error.headers or {})
        return problem
    return OpenAIProblem(400 if isinstance(error, InputError) else 503, str(error))
