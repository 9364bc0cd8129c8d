"""`--track`: whether a verb is about the agents' router or the models', the same for every verb that asks."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

_Track = Annotated[
    str,
    typer.Option(
        "--track",
        metavar="agents|models",
        help="Whose router: that to a subset of agents (the default), or that to one language model.",
    ),
]


def on_track(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with the option `--track`, which `flows.workspace.project.find_project` obeys."""

    @functools.wraps(verb)
    def obeying(*arguments: Any, track: str, **options: Any) -> None:
        if track:
            from flows.workspace.project import TRACK

            os.environ[TRACK] = track
        verb(*arguments, **options)

    hints = {**get_type_hints(verb, include_extras=True), "track": _Track}
    own = [p.replace(annotation=hints[name]) for name, p in inspect.signature(verb).parameters.items()]
    added = inspect.Parameter("track", inspect.Parameter.KEYWORD_ONLY, default="", annotation=_Track)
    obeying.__signature__ = inspect.Signature([*own, added])  # type: ignore[attr-defined]
    obeying.__annotations__ = hints
    return obeying
