"""The top of the page: which version answers now, whether one was refused, and who looks."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.engine.hot_swap import ServedVersion, VersionSwitch
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.visitors import Visitor

SECONDS = 3


def add(page: Page, blocks: Any) -> None:
    """Put it at the top; it looks every few seconds which version serves."""
    import gradio as gr

    shown = gr.HTML(elem_id="header", apply_default_css=False)

    def look(visitor: Visitor) -> str:
        return render(page.switch, visitor.signature)

    page.on(blocks.load, look, [], [shown])
    page.on(gr.Timer(SECONDS).tick, look, [], [shown])


def render(switch: VersionSwitch, name: str) -> str:
    """The header as HTML; `name` is who is logged in, empty where nobody has to."""
    served, why = _served(switch)
    return draw("header", served=served, why=why, refused=switch.refused, trouble=switch.trouble, name=name)


def _served(switch: VersionSwitch) -> tuple[ServedVersion | None, str]:
    try:
        return switch.served, ""
    except SwitchtenderError as error:
        return None, str(error)
