"""Tab Models: what quality costs with the candidates of a version, and where the version stands."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import InputError
from pipeline.serving.page.chart import HEIGHT, WIDTH, chart, cost_quality
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.version_choices import dropdown, filled, in_service
from pipeline.serving.page.visitors import Visitor


def add(page: Page, tab: Any) -> None:
    """A version, its curve, and its candidates."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            version = dropdown("Version", "curved")
        with gr.Column(scale=2, min_width=300):
            gr.HTML(draw("models_intro"), apply_default_css=False)
    shown = gr.HTML(elem_id="curve", apply_default_css=False)
    handler = ModelsTab(page)
    page.on(tab.select, handler.enter, [version], [shown, version])
    page.on(version.input, handler.show, [version], [shown])


class ModelsTab:
    """Draws the curve of a version."""

    def __init__(self, page: Page) -> None:
        self.actions = page.actions

    def enter(self, visitor: Visitor, present: str | None) -> tuple[Any, Any]:
        """The list of versions, and the curve of the chosen one."""
        rows = self.actions.versions()
        chosen = present or in_service(rows)
        return self.show(visitor, chosen), filled(rows, chosen, present)

    def show(self, _visitor: Visitor, version: str | None) -> str:
        """The curve as HTML."""
        if not version:
            raise InputError("nothing is registered yet; the first night whose gates open registers version 1")
        return render(self.actions.holdout(version), version)


def render(holdout: Any, version: str) -> str:
    """Chart and table."""
    found = cost_quality(holdout)
    return draw("models", found=found, chart=chart(found), width=WIDTH, height=HEIGHT, version=version)
