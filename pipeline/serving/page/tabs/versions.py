"""Tab Versions: what is registered, what differs between two, and the way into service and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.runtime.errors import InputError
from pipeline.serving.http.auth import PROMOTE
from pipeline.serving.page.actions import VersionMove
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import GOOD, draw, line
from pipeline.serving.page.version_choices import dropdown, filled, in_service, newest_other
from pipeline.serving.page.visitors import Sessions, Visitor

MOST_REASON = 500
PROMOTION, ROLLBACK = "promotion", "rollback"


@dataclass(frozen=True)
class PendingMove:
    """A move that was shown and waits to be confirmed."""

    kind: str
    version: str
    reason: str


def add(page: Page, tab: Any) -> None:
    """The table, the comparison, and the moves with their confirmation."""
    import gradio as gr

    table = gr.HTML(elem_id="versions", apply_default_css=False)
    with gr.Accordion("What differs between two versions", open=True):
        with gr.Row():
            older, newer = dropdown("From", "older"), dropdown("To", "newer")
            compare = gr.Button("Compare", elem_id="compare", scale=0, min_width=140)
        difference = gr.HTML(elem_id="difference", apply_default_css=False)
    with gr.Accordion("Into service and back", open=True):
        with gr.Row():
            target = dropdown("Version", "target")
            reason = gr.Textbox(label="Reason, kept in the log", max_length=MOST_REASON, scale=3, elem_id="reason")
        with gr.Row():
            promote = gr.Button("Promote …", elem_id="promote", scale=0, min_width=180)
            back = gr.Button("Roll back …", elem_id="rollback", scale=0, min_width=180)
        result = gr.HTML(elem_id="move", apply_default_css=False)
        with gr.Row():
            confirm = gr.Button("Confirm", variant="primary", visible=False, elem_id="confirm", scale=0, min_width=300)
            cancel = gr.Button("Cancel", visible=False, elem_id="cancel", scale=0, min_width=140)
    handler = VersionsTab(page)
    lists = [older, newer, target]
    page.on(tab.select, handler.list, lists, [table, *lists])
    page.on(compare.click, handler.compare, [older, newer], [difference])
    page.on(promote.click, handler.rehearse_promotion, [target, reason], [result, confirm, cancel], may=PROMOTE)
    page.on(back.click, handler.rehearse_rollback, [reason], [result, confirm, cancel], may=PROMOTE)
    page.on(confirm.click, handler.confirm, [], [result, confirm, cancel, table, *lists, reason], may=PROMOTE)
    page.on(cancel.click, handler.cancel, [], [result, confirm, cancel])


class VersionsTab:
    """Shows a move before it is made, and makes exactly the one that was shown."""

    def __init__(self, page: Page) -> None:
        self.actions = page.actions
        self._pending: Sessions[PendingMove] = Sessions()

    def list(self, _visitor: Visitor, *present: str | None) -> tuple[Any, ...]:
        """The table and the drop-down lists; what was chosen in them stays."""
        rows = self.actions.versions()
        chosen = in_service(rows), newest_other(rows), newest_other(rows)
        lists = (filled(rows, *pair) for pair in zip(chosen, present or (None,) * 3, strict=True))
        return draw("versions", rows=rows), *lists

    def compare(self, _visitor: Visitor, older: str | None, newer: str | None) -> str:
        """Two versions side by side."""
        if not older or not newer or older == newer:
            raise InputError("choose two different versions to compare")
        return draw("difference", found=self.actions.compare(older, newer))

    def rehearse_promotion(self, visitor: Visitor, version: str | None, reason: str) -> tuple[Any, ...]:
        """What promoting would do."""
        if not version:
            raise InputError("choose the version to put into service")
        return self._rehearsed(visitor, PendingMove(PROMOTION, version, _given(reason)))

    def rehearse_rollback(self, visitor: Visitor, reason: str) -> tuple[Any, ...]:
        """What going back would do."""
        return self._rehearsed(visitor, PendingMove(ROLLBACK, "", _given(reason)))

    def _rehearsed(self, visitor: Visitor, asked: PendingMove) -> tuple[Any, ...]:
        """What a move would do, and the two buttons; a move that may not be made has none."""
        import gradio as gr

        # Whatever this rehearsal gives, an older one must not be what the button confirms.
        self._pending.take(visitor.session)
        if asked.kind == PROMOTION:
            move = self.actions.rehearse_promotion(asked.version, asked.reason)
        else:
            move = self.actions.rehearse_rollback(asked.reason)
        if not move.refusal:
            self._pending.put(visitor.session, asked)
        wording = "Put it into service" if asked.kind == PROMOTION else "Go back"
        return (
            draw("move", move=move, kind=asked.kind, reason=asked.reason),
            gr.update(visible=not move.refusal, value=f"{wording}: version {move.version_to}"),
            gr.update(visible=not move.refusal),
        )

    def confirm(self, visitor: Visitor) -> tuple[Any, ...]:
        """Make the move that was shown, once; all is checked again on the way."""
        import gradio as gr

        asked = self._pending.take(visitor.session)
        if asked is None:
            raise InputError("nothing waits for a yes any more; look at the move once more")
        move = self._made(asked, visitor.signature)
        hidden = gr.update(visible=False)
        done = f"Version {move.version_to} is in service now (before: {move.version_from or 'none'}). "
        result = line(f"{done}This service takes it up within seconds; see the top of the page.", GOOD)
        table, *lists = self.list(visitor)
        return result, hidden, hidden, table, *lists, ""

    def _made(self, asked: PendingMove, who: str) -> VersionMove:
        if asked.kind == PROMOTION:
            return self.actions.promote(asked.version, asked.reason, who)
        return self.actions.rollback(asked.reason, who)

    def cancel(self, visitor: Visitor) -> tuple[Any, ...]:
        """Leave everything as it is."""
        import gradio as gr

        self._pending.take(visitor.session)
        return line("Nothing was changed."), gr.update(visible=False), gr.update(visible=False)


def _given(reason: str) -> str:
    """A reason without white space around it.

    Raises:
        InputError: there is none.
    """
    if not (reason or "").strip():
        raise InputError("a reason is needed: it is what somebody reads in a year")
    return reason.strip()
