"""Tab Models: what quality costs with the candidates of a version, and where the version stands."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import nothing_registered
from pipeline.serving.page.actions import HoldoutAnswers
from pipeline.serving.page.chart import HEIGHT, WIDTH, chart, cost_quality
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.version_choices import VersionChoices, dropdown, filled
from pipeline.serving.page.visitors import Visitor


def add(page: Page, tab: Any, served: Any) -> None:
    """A version, its curve, and its candidates."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            version = dropdown("Version", "curved")
        with gr.Column(scale=2, min_width=300):
            gr.HTML(draw("models_intro", of_agents=page.of_agents), apply_default_css=False)
    told, shown = page.place("curve")
    handler = ModelsTab(page)
    page.on(tab.select, handler.enter, [version], [shown, version], told, newest_wins=True)
    page.on(served.change, handler.follow, [version], [shown, version], told)
    page.on(version.input, handler.show, [version], [shown], told, newest_wins=True)


class ModelsTab:
    """Draws the curve of a version."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = page.actions
        self.choices = VersionChoices(page.visitors, page.view.night_command)

    def enter(self, visitor: Visitor, present: str | None) -> tuple[Any, Any]:
        """The list of versions, and the curve of the chosen one."""
        rows = self.actions.versions()
        chosen = self.choices.one(visitor.session, rows, present)
        return self.show(visitor, chosen), filled(rows, chosen)

    def follow(self, visitor: Visitor, present: str | None) -> tuple[Any, Any]:
        """The same when another version serves; a tab that was not opened yet waits."""
        import gradio as gr

        return self.enter(visitor, present) if present else (gr.skip(), gr.skip())

    def show(self, _visitor: Visitor, version: str | None) -> str:
        """The curve as HTML."""
        if not version:
            raise nothing_registered(night=self.page.view.night_command)
        return render(self.actions.holdout(version), version, self.page.of_agents)


def render(holdout: HoldoutAnswers, version: str, of_agents: bool = True) -> str:
    """Chart and table."""
    found = cost_quality(holdout)
    facts = {"found": found, "chart": chart(found), "width": WIDTH, "height": HEIGHT, "version": version}
    return draw("models", **facts, of_agents=of_agents)
