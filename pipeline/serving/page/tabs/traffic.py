"""Tab Traffic: what the track's services were asked, how fast they decided, whom they chose, and where in doubt."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import InputError
from pipeline.serving.engine.decision import SMALL_MARGIN
from pipeline.serving.engine.traffic import SPANS, Traffic
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.traffic_charts import HEIGHT, WIDTH, traffic_charts
from pipeline.serving.page.visitors import Visitor

_SPANS = {span.name: span for span in SPANS}


def add(page: Page, tab: Any, _served: Any) -> None:
    """A time up to now, and its figures."""
    import gradio as gr

    with gr.Row():
        span = gr.Radio(list(_SPANS), value=SPANS[0].name, label="The last", elem_id="span", scale=0, min_width=440)
        again = gr.Button("Look again", elem_id="traffic-again", scale=0, min_width=140)
    told, shown = page.place("traffic")
    handler = TrafficTab(page)
    for trigger in (tab.select, span.input, again.click):
        page.on(trigger, handler.look, [span], [shown], told, newest_wins=True)


class TrafficTab:
    """Draws the traffic of the page's track."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def look(self, _visitor: Visitor, span: str | None) -> str:
        """The traffic of a time as HTML."""
        if span not in _SPANS:
            raise InputError("choose how far to look back")
        return render(self.page.actions.traffic(_SPANS[span]), self.page.of_agents)


def render(traffic: Traffic, of_agents: bool) -> str:
    """Charts and tables."""
    facts = {"traffic": traffic, "charts": traffic_charts(traffic), "width": WIDTH, "height": HEIGHT}
    return draw("traffic", **facts, of_agents=of_agents, small=SMALL_MARGIN)
