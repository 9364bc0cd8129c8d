"""Tab Versions: what is registered, what differs between two, and the way into service and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.serving.http.auth import PROMOTE
from pipeline.serving.page.actions import VersionMove
from pipeline.serving.page.context import Noticed, Page
from pipeline.serving.page.rendering import BAD, GOOD, PLAIN, draw
from pipeline.serving.page.version_choices import VersionChoices, dropdown, filled, in_service, newest_other
from pipeline.serving.page.visitors import Sessions, Visitor
from pipeline.versions.diff import VersionDiff

MOST_REASON = 500
MOST_ROWS = 50
PROMOTION, ROLLBACK = "promotion", "rollback"


@dataclass(frozen=True)
class PendingMove:
    """A move that was shown and waits to be confirmed."""

    kind: str
    move: VersionMove
    reason: str


def add(page: Page, tab: Any, served: Any) -> None:
    """The table, the comparison, and the moves with their confirmation."""
    import gradio as gr

    told, table = page.place("versions")
    with gr.Accordion("What differs between two versions", open=True):
        with gr.Row():
            older, newer = dropdown("From", "older"), dropdown("To", "newer")
            compare = gr.Button("Compare", elem_id="compare", scale=0, min_width=140)
        told_difference, difference = page.place("difference")
    with gr.Accordion("Into service and back", open=True):
        with gr.Row():
            target = dropdown("Version", "target")
            reason = gr.Textbox(label="Reason, kept in the log", max_length=MOST_REASON, scale=3, elem_id="reason")
        with gr.Row():
            promote = gr.Button("Promote …", elem_id="promote", scale=0, min_width=180)
            back = gr.Button("Roll back …", elem_id="rollback", scale=0, min_width=180)
        told_move, result = page.place("move")
        with gr.Row():
            confirm = gr.Button("Confirm", variant="primary", visible=False, elem_id="confirm", scale=0, min_width=300)
            cancel = gr.Button("Cancel", visible=False, elem_id="cancel", scale=0, min_width=140)
    handler = VersionsTab(page)
    lists = [older, newer, target]
    listed, move = [table, *lists, difference], [result, confirm, cancel]
    page.on(tab.select, handler.list, lists, listed, told, newest_wins=True)
    page.on(served.change, handler.follow, lists, listed, told)
    pair = [older, newer]
    page.on(compare.click, handler.compare, pair, [difference], told_difference, newest_wins=True)
    for choice in pair:
        page.on(choice.input, handler.compare_again, pair, [difference], told_difference, newest_wins=True)
    page.on(promote.click, handler.rehearse_promotion, [target, reason], move, told_move, may=PROMOTE)
    page.on(back.click, handler.rehearse_rollback, [reason], move, told_move, may=PROMOTE)
    page.on(confirm.click, handler.confirm, lists, [*move, reason, *listed], told_move, may=PROMOTE)
    page.on(cancel.click, handler.cancel, [], move, told_move)


class VersionsTab:
    """Shows a move before it is made, and makes exactly the one that was shown."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = page.actions
        self.choices = VersionChoices(page.visitors, page.view.night_command)
        self._pending: Sessions[PendingMove] = page.visitors.sessions()
        self._compared: Sessions[tuple[str | None, str | None]] = page.visitors.sessions()

    def list(self, visitor: Visitor, *present: str | None) -> tuple[Any, ...]:
        """The table, the drop-down lists, in which the choice stays while the same version serves, and the comparison
        that belongs to them."""
        rows = self.actions.versions()
        wanted = in_service(rows), newest_other(rows), newest_other(rows)
        older, newer, target = self.choices.of(visitor.session, rows, present, wanted)
        table = draw("versions", rows=rows, headline=self.page.track.headline, night=self.page.view.night_command)
        lists = (filled(rows, chosen) for chosen in (older, newer, target))
        return table, *lists, self.compare_again(visitor, older, newer)

    def follow(self, visitor: Visitor, *present: str | None) -> tuple[Any, ...]:
        """The same when another version serves; a tab that was not opened yet waits."""
        import gradio as gr

        return self.list(visitor, *present) if any(present) else (gr.skip(),) * 5

    def compare(self, visitor: Visitor, older: str | None, newer: str | None) -> str:
        """Two versions side by side."""
        if not older or not newer or older == newer:
            raise InputError("choose two different versions to compare")
        # Before it is made, so that lists that change meanwhile ask for the pair that they show by then.
        self._compared.put(visitor.session, (older, newer))
        found = self.actions.compare(older, newer)
        return draw("difference", found=found, texts=self._texts(found), of_agents=self.page.of_agents)

    def compare_again(self, visitor: Visitor, older: str | None, newer: str | None) -> Any:
        """The comparison on show follows the lists; where there is none, or it cannot be made, none is on show."""
        import gradio as gr

        shown = self._compared.get(visitor.session)
        if shown is None or shown == (older, newer):
            return gr.skip()
        try:
            return self.compare(visitor, older, newer)
        except SwitchtenderError:
            self._compared.put(visitor.session, (None, None))
            return ""

    def _texts(self, found: VersionDiff) -> dict[str, str]:
        """Texts of the rows that a comparison shows, as the newer version knew them, else as the older one did."""
        rows, named = found.rows, [flip.prompt_id for flip in found.holdout.flips[:MOST_ROWS]]
        for part in (rows.added, rows.relabelled, rows.reworded, rows.moved):
            named += [row.prompt_id for row in part[:MOST_ROWS]]
        gone = [row.prompt_id for row in rows.removed[:MOST_ROWS]]
        return self.page.texts(found.older.version, gone) | self.page.texts(found.newer.version, named)

    def rehearse_promotion(self, visitor: Visitor, version: str | None, reason: str) -> tuple[Any, ...] | Noticed:
        """What promoting would do."""
        if not version:
            raise InputError("choose the version to put into service")
        return self._rehearsed(visitor, PROMOTION, _given(reason), version)

    def rehearse_rollback(self, visitor: Visitor, reason: str) -> tuple[Any, ...] | Noticed:
        """What going back would do."""
        return self._rehearsed(visitor, ROLLBACK, _given(reason))

    def _rehearsed(self, visitor: Visitor, kind: str, reason: str, version: str = "") -> tuple[Any, ...] | Noticed:
        """What a move would do, and the two buttons; a move that may not be made has none."""
        import gradio as gr

        # Whatever this rehearsal gives, an older one must not be what the button confirms.
        self._pending.take(visitor.session)
        hidden = gr.update(visible=False)
        try:
            if kind == PROMOTION:
                move = self.actions.rehearse_promotion(version, reason)
            else:
                move = self.actions.rehearse_rollback(reason)
        except SwitchtenderError as error:
            return Noticed(("", hidden, hidden), error.message, BAD)
        shown = draw("move", move=move, kind=kind, reason=reason)
        if move.refusal:
            return Noticed((shown, hidden, hidden), move.refusal, BAD)
        self._pending.put(visitor.session, PendingMove(kind, move, reason))
        wording = "Put it into service" if kind == PROMOTION else "Go back"
        named = gr.update(visible=True, value=f"{wording}: version {move.version_to}")
        return shown, named, gr.update(visible=True)

    def confirm(self, visitor: Visitor, *present: str | None) -> Noticed:
        """Make the move that was shown, once; all is checked again on the way."""
        import gradio as gr

        asked = self._pending.take(visitor.session)
        if asked is None:
            raise InputError("nothing waits for a yes any more; look at the move once more")
        hidden = gr.update(visible=False)
        try:
            move = self._made(asked, visitor.signature)
        except SwitchtenderError as error:
            return Noticed(("", hidden, hidden, *(gr.skip() for _ in range(6))), error.message, BAD)
        done = (
            f"Version {move.version_to} is in service now (before: {move.version_from or 'none'}). This service takes "
            "it up within seconds; see the top of the page."
        )
        return Noticed(("", hidden, hidden, "", *self.list(visitor, *present)), done, GOOD)

    def _made(self, asked: PendingMove, who: str) -> VersionMove:
        if asked.kind == PROMOTION:
            return self.actions.promote(asked.move, asked.reason, who)
        return self.actions.rollback(asked.move, asked.reason, who)

    def cancel(self, visitor: Visitor) -> Noticed:
        """Leave everything as it is."""
        import gradio as gr

        self._pending.take(visitor.session)
        return Noticed(("", gr.update(visible=False), gr.update(visible=False)), "Nothing was changed.", PLAIN)


def _given(reason: str) -> str:
    """A reason without white space around it.

    Raises:
        InputError: there is none.
    """
    if not (reason or "").strip():
        raise InputError("a reason is needed: it is what somebody reads in a year")
    return reason.strip()
