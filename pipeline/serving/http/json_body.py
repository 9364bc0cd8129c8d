"""Which JSON a body may be: such as every program reads alike, so that nothing in it is passed over or changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from pipeline.runtime.text import is_unicode

DEEPEST = 100
"""Objects and lists in each other; what comes behind the parser may use Python's stack for each level."""


class JsonRequest(Request):
    """A request whose body is read by `parsed`."""

    async def json(self) -> Any:
        return parsed(await self.body())


class JsonRoute(APIRoute):
    """A route that reads its body by `parsed`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


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
