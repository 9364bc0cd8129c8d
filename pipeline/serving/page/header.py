"""The top of the page: which version answers, whether one was refused, who looks, and the way to the other track."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.engine.hot_swap import ServedVersion
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.visitors import Visitor

SECONDS = 3


def add(page: Page, blocks: Any) -> Any:
    """Put it at the top; it looks every few seconds which version serves.

    Returns:
        A hidden text whose event `change` tells that another version serves.
    """
    import gradio as gr

    told, shown = page.place("header")
    serving = gr.Textbox(visible=False)

    def look(visitor: Visitor) -> tuple[str, str]:
        served, _ = _served(page)
        return render(page, visitor.signature), served.version if served else ""

    page.on(blocks.load, look, [], [shown, serving], told)
    page.on(gr.Timer(SECONDS).tick, look, [], [shown, serving], told)
    return serving


def render(page: Page, name: str) -> str:
    """The header as HTML; `name` is who is logged in, empty where nobody has to."""
    served, why = _served(page)
    return draw(
        "header", served=served, why=why, refused=page.switch.refused, trouble=page.switch.trouble, name=name,
        links=page.links, track=page.track,
    )  # fmt: skip


def _served(page: Page) -> tuple[ServedVersion | None, str]:
    try:
        return page.switch.served, ""
    except SwitchtenderError as error:
        return None, error.message
