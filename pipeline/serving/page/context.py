"""What every tab shares: the engine's switch, the actions, the people, and how an event reaches its handler."""

# No postponed annotations here: Gradio recognises the request by the annotation's value.

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.engine.hot_swap import VersionSwitch
from pipeline.serving.page.actions import Actions
from pipeline.serving.page.rendering import BAD, line
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.visitors import Visitors


@dataclass(frozen=True)
class Page:
    """One page for all visitors."""

    switch: VersionSwitch
    actions: Actions
    visitors: Visitors
    reports: ReportLinks

    def texts(self, version: str, prompt_ids: Sequence[str]) -> dict[str, str]:
        """Texts of a version's rows by id; none where they cannot be read, since a tab says enough without them."""
        try:
            return self.actions.texts(version, prompt_ids) if prompt_ids else {}
        except SwitchtenderError:
            return {}

    def on(
        self, trigger: Any, handler: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], may: str = ""
    ) -> None:
        """Bind `handler(visitor, *values)` to one of Gradio's events, for people with the right `may`.

        Law: the first output is HTML. What the handler refuses is one line there, and the other outputs stay.
        Gradio's queue is left out, since it answers over connections that stay open, and so is its public API.
        """
        import gradio as gr

        def call(request: gr.Request, *values: Any) -> Any:
            visitor = self.visitors.visitor(request.username, request.session_hash)
            try:
                visitor.require(may)
                return handler(visitor, *values)
            except SwitchtenderError as error:
                refused = line(str(error), BAD)
                return refused if len(outputs) == 1 else (refused, *(gr.skip() for _ in outputs[1:]))

        trigger(
            call, list(inputs), list(outputs), queue=False, api_visibility="private", show_progress="minimal"
        )  # fmt: skip
