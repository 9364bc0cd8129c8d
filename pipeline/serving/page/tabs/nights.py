"""Tab Nights: how the nights of both tracks went, the one under way, and a night that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.reports.night_history import UNDER_WAY, NightHistory
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.stage import ORDER
from pipeline.runtime.track import TRACKS
from pipeline.serving.http.auth import NIGHT
from pipeline.serving.page.context import Noticed, Page
from pipeline.serving.page.night_charts import HEIGHT, WIDTH, bars, figure_charts
from pipeline.serving.page.rendering import BAD, GOOD, PLAIN, draw
from pipeline.serving.page.visitors import Sessions, Visitor

SECONDS = 5
PER_VIEW = 30
_CHOICES = [("those of params.yaml", ""), *((f"{name} alone", name) for name in TRACKS)]


@dataclass(frozen=True)
class NightsView:
    """What an open page shows: how many nights it asked for, the list as it was drawn last, and whether it moves."""

    most: int
    drawn: str
    stamp: str
    moves: bool


def add(page: Page, tab: Any, _served: Any) -> None:
    """What is under way, the list, and the way to start one; it looks by itself every few seconds once opened."""
    import gradio as gr

    told_now, now = page.place("night-now")
    with gr.Row():
        track = gr.Dropdown(_CHOICES, value="", label="Tracks", elem_id="night-tracks", min_width=280, scale=0)
        start = gr.Button("Start a night …", elem_id="start-night", scale=0, min_width=200)
    told_start, shown = page.place("night-start")
    with gr.Row():
        confirm = gr.Button("Start it", variant="primary", visible=False, elem_id="confirm-night", scale=0)
        cancel = gr.Button("Cancel", visible=False, elem_id="cancel-night", scale=0, min_width=140)
    told, listed = page.place("nights")
    more = gr.Button("Show older nights", visible=False, elem_id="older-nights", scale=0, min_width=200)
    handler = NightsTab(page)
    view, asked = [now, listed, more], [shown, confirm, cancel]
    page.on(tab.select, handler.look, [], view, told, newest_wins=True)
    page.on(gr.Timer(SECONDS).tick, handler.look_again, [], view, told_now)
    page.on(more.click, handler.older, [], view, told, newest_wins=True)
    page.on(start.click, handler.rehearse, [track], asked, told_start, may=NIGHT)
    page.on(confirm.click, handler.confirm, [], asked, told_start, may=NIGHT)
    page.on(cancel.click, handler.cancel, [], asked, told_start)


class NightsTab:
    """Shows the nights, and starts exactly the one that was shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = page.actions
        self._views: Sessions[NightsView] = page.visitors.sessions()
        self._pending: Sessions[tuple[str, ...]] = page.visitors.sessions()

    def look(self, visitor: Visitor) -> tuple[Any, ...]:
        """The nights as they are now."""
        view = self._views.get(visitor.session)
        return self._drawn(visitor, view.most if view else PER_VIEW)

    def look_again(self, visitor: Visitor) -> tuple[Any, ...]:
        """The same by itself, for a tab that was opened; what has not changed is left in peace."""
        import gradio as gr

        before = self._views.get(visitor.session)
        if before is None or (not before.moves and before.stamp == self.actions.nights_stamp()):
            return gr.skip(), gr.skip(), gr.skip()
        now, listed, more = self._drawn(visitor, before.most)
        return now, gr.skip() if listed == before.drawn else listed, more

    def older(self, visitor: Visitor) -> tuple[Any, ...]:
        """As many nights more."""
        view = self._views.get(visitor.session)
        return self._drawn(visitor, (view.most if view else PER_VIEW) + PER_VIEW)

    def _drawn(self, visitor: Visitor, most: int) -> tuple[Any, ...]:
        import gradio as gr

        stamp = self.actions.nights_stamp()
        found = self.actions.nights(most)
        links = self.page.reports.of_nights(self.actions, visitor.session)
        listed = render(found, links, self.page.view.night_command)
        under_way = [night for night in found.nights if night.state == UNDER_WAY]
        self._views.put(visitor.session, NightsView(most, listed, stamp, bool(under_way)))
        more = gr.update(visible=found.older > 0, value=f"Show older nights ({found.older} more)")
        return draw("night_now", nights=under_way), listed, more

    def rehearse(self, visitor: Visitor, track: str | None) -> tuple[Any, ...] | Noticed:
        """What a night would do, and the two buttons; where none can be started there are none."""
        import gradio as gr

        # Whatever this gives, an older one must not be what the button confirms.
        self._pending.take(visitor.session)
        tracks, hidden = (track,) if track else (), gr.update(visible=False)
        try:
            plan = self.actions.rehearse_night(tracks)
        except SwitchtenderError as error:
            return Noticed(("", hidden, hidden), error.message, BAD)
        self._pending.put(visitor.session, tracks)
        named = gr.update(visible=True, value=f"Start it: a night of {' and '.join(plan.is_new)}")
        return draw("night_plan", plan=plan), named, gr.update(visible=True)

    def confirm(self, visitor: Visitor) -> Noticed:
        """Ask for the night that was shown, once."""
        import gradio as gr

        tracks = self._pending.take(visitor.session)
        if tracks is None:
            raise InputError("nothing waits for a yes any more; press 'Start a night' once more")
        hidden = gr.update(visible=False)
        try:
            self.actions.start_night(tracks, visitor.signature)
        except SwitchtenderError as error:
            return Noticed(("", hidden, hidden), error.message, BAD)
        return Noticed(("", hidden, hidden), "The night is asked for; it stands above within half a minute.", GOOD)

    def cancel(self, visitor: Visitor) -> Noticed:
        """Start none."""
        import gradio as gr

        self._pending.take(visitor.session)
        return Noticed(("", gr.update(visible=False), gr.update(visible=False)), "Nothing was started.", PLAIN)


def render(found: NightHistory, links: str, night_command: str) -> str:
    """Charts and table; `links` is the address under which the nights' documents are."""
    facts = {"found": found, "links": links, "night": night_command, "width": WIDTH, "height": HEIGHT, "order": ORDER}
    rows = list(zip(found.nights, bars(found.nights), strict=True))
    return draw("nights", rows=rows, charts=figure_charts(found.nights), **facts)
