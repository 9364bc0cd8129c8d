"""Which JSON a body may be: such as every program reads alike, so that nothing in it is passed over or changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from pipeline.runtime.text import is_unicode

DEEPEST = 100
"""Objects and lists in each other; what comes behind the parser may use Python's stack for each level."""


class JsonRoute(APIRoute):
    """A route whose function is given the body, read by `parsed` and checked, and answers with a response of its own.

    The framework's way there, made for every kind of parameter, takes longer than the rest of a short request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        field = self.body_field
        if field is None:
            return super().get_route_handler()
        body, request_name = self.dependant.body_params[0].name, self.dependant.request_param_name

        async def handle_json(request: Request) -> Response:
            value, errors = field.validate(await _content(request), {}, loc=("body",))
            if errors:
                raise RequestValidationError(errors)
            response: Response = await self.endpoint(**{body: value, str(request_name): request})
            return response

        return handle_json


async def _content(request: Request) -> Any:
    """What the body holds; the bytes themselves where it does not say that it is JSON.

    Raises:
        RequestValidationError: there is none, or it is no JSON.
        HTTPException: it is no text.
    """
    body = await request.body()
    if not body:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return body
    try:
        return parsed(body)
    except json.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "invalid", "ctx": {"error": error.msg}}
        raise RequestValidationError([fault]) from error
    except UnicodeDecodeError as error:
        raise HTTPException(400) from error


def parsed(body: bytes) -> Any:
    """What a body holds.

    Raises:
        json.JSONDecodeError: it is no JSON, names a field twice (one of the two would be lost), has a name that UTF-8
            cannot hold, a number of thousands of digits, or is nested too deeply.
        UnicodeDecodeError: it is no text.
    """
    try:
        content = json.loads(body, object_pairs_hook=_fields)
    except RecursionError:
        _refuse(_TOO_DEEP)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python's own limit
        _refuse("a number has thousands of digits; send one that a program can hold")
    # Each level opens with a bracket; in UTF-16 and 32 too these are bytes of their own.
    if body.count(b"{") + body.count(b"[") > DEEPEST:
        _require_shallow(content)
    return content


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep; send it flatter"


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if not all(map(is_unicode, fields)):
        _refuse("a field's name has half a surrogate pair, which is no character; send valid Unicode")
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(f"the field '{twice[:60]}' stands twice; send it once")
    return fields


def _require_shallow(content: Any) -> None:
    level = [content]
    for _ in range(DEEPEST + 1):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
    if level:
        _refuse(_TOO_DEEP)


def _refuse(reason: str) -> NoReturn:
    raise json.JSONDecodeError(reason, "", 0)
