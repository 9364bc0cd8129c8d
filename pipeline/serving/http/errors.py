"""The one form of every error that the service answers.

    {"error": {"code": "...", "message": "...", "hint": "...", "request_id": "..."}}

`code` is for programs and does not change; `message` says what is wrong and names the field; `hint`, where there is
one, says what to do next.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from pipeline.runtime.errors import InputError, SwitchtenderError, as_piece, suggestion
from pipeline.serving.engine.decision_journal import JournalFailed
from pipeline.serving.engine.hot_swap import NotReady

VALUE_ERROR = "value_error"
OPENAI = ("/v1/chat/", "/v1/models")
"""Paths of OpenAI's protocol, whose clients look for more fields in an error."""


class Problem(Exception):
    """A request that is not answered: its status, and what the error says."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = headers or {}


class ErrorAnswer(JSONResponse):
    """JSON that may quote what was sent: half surrogate pairs, which JSON may hold and UTF-8 may not, are replaced."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def answer(problem: Problem, scope: Scope) -> Response:
    """The response; notes the code in the scope, where the log and the metrics find it."""
    state = scope.setdefault("state", {})
    state["code"] = problem.code
    error = {"code": problem.code, "message": problem.message, "hint": problem.hint or None}
    known = {key: value for key, value in error.items() if value is not None}
    kind = "invalid_request_error" if problem.status < 500 else "server_error"
    theirs = {"type": kind, "param": None} if scope.get("path", "").startswith(OPENAI) else {}
    content = {"error": {**known, **theirs, "request_id": state.get("request_id", "")}}
    return ErrorAnswer(content, problem.status, headers=problem.headers)


def of_error(error: SwitchtenderError) -> Problem:
    """What an error of ours means to whoever asked."""
    if isinstance(error, NotReady):
        return Problem(503, "not_ready", str(error), "GET /readyz says when", {"Retry-After": "2"})
    if isinstance(error, JournalFailed):
        hint = "nothing is answered that is not written down; free the disk or mend its permissions"
        return Problem(503, "journal_failed", str(error), hint, {"Retry-After": "2"})
    if isinstance(error, InputError):
        return Problem(422, "invalid_request", str(error))
    return Problem(500, "internal_error", "the service failed", "its log names the error under this request_id")


def of_status(status: int, path: str, method: str, headers: dict[str, str] | None) -> Problem:
    """What the framework refuses by itself: no such path, no such method, a body that is no JSON."""
    if status == 404:
        return Problem(404, "not_found", f"there is nothing at {path[:200]}", "GET /openapi.json lists what there is")
    if status == 405:
        return Problem(405, "method_not_allowed", f"{path[:200]} does not take {method}", headers=headers)
    if status == 400:
        return Problem(400, "unreadable_body", "the body cannot be read", "send JSON in UTF-8")
    return Problem(status, "refused", "the request was refused", headers=headers)


def of_validation(errors: Sequence[Any], fields: Sequence[str]) -> Problem:
    """The first field that is wrong, by name; `fields` are those that the body may have. Nothing sent is quoted."""
    first = errors[0]
    parts = [str(part) for part in first["loc"][1:]]
    where = ".".join(parts)[:200] if parts else "the body"
    if first["type"] == "json_invalid":
        reason = as_piece(first["ctx"]["error"])
        return Problem(422, "invalid_json", f"the body is not valid JSON: {reason}", "send one JSON object in UTF-8")
    if first["type"] == "extra_forbidden":
        hint = suggestion(where, fields, f"known are {', '.join(fields)}")
        return Problem(422, "unknown_field", f"unknown field '{where}'", hint)
    if first["type"] == VALUE_ERROR:
        message = str(first["msg"]).removeprefix("Value error, ")
        # Among several prompts or turns it says which one is wrong.
        return Problem(422, "invalid_request", f"{where}: {message}" if parts else message)
    if first["type"] == "model_attributes_type" and not parts:
        hint = "send a JSON object with Content-Type: application/json"
        return Problem(422, "invalid_request", "the body is not a JSON object", hint)
    return Problem(422, "invalid_field", f"{where}: {as_piece(first['msg'])[:200]}")
