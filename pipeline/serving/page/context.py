"""What every tab shares: the engine's switch, the actions, the people, and how an event reaches its handler."""

# No postponed annotations here: Gradio recognises the request by the annotation's value.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.errors import NIGHT_COMMAND, SwitchtenderError
from pipeline.runtime.track import AGENTS, Track
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.page.actions import Actions
from pipeline.serving.page.input_check import require_usable
from pipeline.serving.page.rendering import BAD, PLAIN, notice
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.visitors import Visitors


@dataclass(frozen=True)
class TrackView:
    """One track as the page shows it: the version that answers there, what can be done, and the command that makes a
    version."""

    track: Track
    switch: VersionSwitch
    actions: Actions
    night_command: str = NIGHT_COMMAND


@dataclass(frozen=True)
class Noticed:
    """What a handler gives its outputs, with a line that tells how it went."""

    values: tuple[Any, ...]
    message: str
    tone: str


@dataclass(frozen=True)
class Page:
    """One track's page for all visitors. `links` are the names and addresses of every track's, its own included."""

    view: TrackView
    visitors: Visitors
    reports: ReportLinks
    links: tuple[tuple[Track, str], ...]

    @property
    def track(self) -> Track:
        return self.view.track

    @property
    def switch(self) -> VersionSwitch:
        return self.view.switch

    @property
    def actions(self) -> Actions:
        return self.view.actions

    @property
    def of_agents(self) -> bool:
        """Whether a router here chooses several agents; else it chooses one language model."""
        return self.track is AGENTS

    def texts(self, version: str, prompt_ids: Sequence[str]) -> dict[str, str]:
        """Texts of a version's rows by id; none where they cannot be read, since a tab says enough without them."""
        try:
            return self.actions.texts(version, prompt_ids) if prompt_ids else {}
        except SwitchtenderError:
            return {}

    def place(self, elem_id: str, html: str = "") -> tuple[Any, Any]:
        """A place for a notice and, below it, for the HTML that it is about."""
        import gradio as gr

        with gr.Column(elem_id=elem_id, elem_classes="place"):
            return gr.HTML(elem_classes="told", apply_default_css=False), gr.HTML(html, apply_default_css=False)

    def on(
        self, trigger: Any, handler: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], told: Any,
        may: str = "", newest_wins: bool = False, js: str | None = None,
    ) -> None:  # fmt: skip
        """Bind `handler(visitor, *values)` to one of Gradio's events, for people with the right `may`.

        Law: what the handler refuses is one line in the notice `told`, and every output stays as it is. It gives one
        value, a tuple of as many as there are outputs, or `Noticed`; the line of before goes.
        With `newest_wins`, for what only looks: an event that comes while another is answered is answered too, and of
        those that share a notice only the latest is shown, whichever answer comes last (`answers.js`). Else it is
        dropped.
        Gradio's queue is left out, since it answers over connections that stay open, and so is its public API.
        """
        import gradio as gr

        def call(request: gr.Request, *values: Any) -> Any:
            visitor = self.visitors.visitor(request.username, request.session_hash)
            try:
                visitor.require(may)
                require_usable(values)
                answer = _noticed(handler(visitor, *values))
            except SwitchtenderError as error:
                answer = Noticed(tuple(gr.skip() for _ in outputs), error.message, BAD)
            return *answer.values, notice(answer.message, answer.tone)

        # What looks by itself every few seconds must not fade each time.
        progress: Any = "hidden" if trigger.event_name == "tick" else "minimal"
        trigger(
            call, list(inputs), [*outputs, told], queue=False, api_visibility="private", show_progress=progress,
            trigger_mode="multiple" if newest_wins else None, js=js,
        )  # fmt: skip


def _noticed(answer: Any) -> Noticed:
    """What a handler gave, in the one form; without a line where it said none."""
    if isinstance(answer, Noticed):
        return answer
    return Noticed(answer if isinstance(answer, tuple) else (answer,), "", PLAIN)
