"""Errors as OpenAI's clients read them, on every route that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from pipeline.runtime.errors import InputError, SwitchtenderError


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
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}

    @classmethod
    def quoting(cls, status: int, said: dict[str, Any]) -> OpenAIProblem:
        """What an upstream said in OpenAI's form; fields that it left empty are ours."""
        problem = cls(status, str(said["message"]))
        problem.error |= {name: value for name, value in said.items() if value is not None}
        return problem

    def body(self) -> dict[str, Any]:
        return {"error": self.error}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


class OpenAIRoute(APIRoute):
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
        return OpenAIProblem(400, f"{where or 'body'}: {first['msg'].lower()}", param=where or None)
    if isinstance(error, HTTPException):
        problem = OpenAIProblem(error.status_code, str(error.detail))
        problem.headers = dict(error.headers or {})
        return problem
    return OpenAIProblem(400 if isinstance(error, InputError) else 503, str(error))
