"""Tab Review: the night's label suspects one by one, decided by key or button, written down for the next night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.data.label_reviews import DROP, KEEP, RELABEL
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.serving.http.auth import REVIEW
from pipeline.serving.page.actions import LabelDecision, Suspect, Suspects
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import BAD, GOOD, draw, line
from pipeline.serving.page.visitors import Sessions, Visitor

MOST_NOTE = 500


@dataclass(frozen=True)
class ReviewPosition:
    """Where a reviewer stands: the suspect on show (None: none is left) and the one decided last, to go back to."""

    suspect: Suspect | None
    last: str = ""


def add(page: Page, tab: Any) -> None:
    """The suspect, the label to give, a note, and the buttons whose keys `page.js` presses."""
    import gradio as gr

    with gr.Column(elem_id="review"):
        shown = gr.HTML(elem_id="suspect", apply_default_css=False)
        agents = gr.CheckboxGroup([], label="The right label, for r", elem_id="review-agents")
        note = gr.Textbox(label="Note (optional)", max_length=MOST_NOTE, max_lines=3, elem_id="review-note")
        with gr.Row(elem_id="review-decide"):
            keep = gr.Button("Keep  (k)", elem_id="review-keep", min_width=110)
            relabel = gr.Button("Relabel  (r)", variant="primary", elem_id="review-relabel", min_width=110)
            drop = gr.Button("Drop  (d)", elem_id="review-drop", min_width=110)
        with gr.Row(elem_id="review-move"):
            before = gr.Button("← Previous", size="sm", elem_id="review-previous", min_width=90)
            after = gr.Button("Next →", size="sm", elem_id="review-next", min_width=90)
            again = gr.Button("Decide the last one again  (u)", size="sm", elem_id="review-again", min_width=160)
        hints = gr.HTML(elem_id="hints", apply_default_css=False)
    handler = ReviewTab(page)
    view = [shown, agents, note]
    page.on(tab.select, handler.enter, [], view, may=REVIEW)
    page.on(tab.select, handler.hints, [], [hints], may=REVIEW)
    for button, step in ((before, -1), (after, 1)):
        page.on(button.click, handler.mover(step), [], view, may=REVIEW)
    page.on(again.click, handler.back, [], view, may=REVIEW)
    for button, decision in ((keep, KEEP), (relabel, RELABEL), (drop, DROP)):
        page.on(button.click, handler.decider(decision), [agents, note], view, may=REVIEW)


class ReviewTab:
    """Walks each reviewer through what is left."""

    def __init__(self, page: Page) -> None:
        self.actions = page.actions
        self._positions: Sessions[ReviewPosition] = Sessions()

    def enter(self, visitor: Visitor) -> tuple[Any, ...]:
        """The suspect that was on show if it is still undecided, else the first that is left."""
        known, position = self.actions.suspects(), self._position(visitor)
        return self._show(visitor, known, _same(known, position.suspect) or _first(known), position.last)

    def hints(self, _visitor: Visitor) -> str:
        """Feedback that the service was sent lately."""
        return draw("hints", hints=self.actions.hints())

    def mover(self, step: int) -> Any:
        """The handler of a button that goes on or back among those that are left, around the end."""

        def move(visitor: Visitor) -> tuple[Any, ...]:
            known, position = self.actions.suspects(), self._position(visitor)
            return self._show(visitor, known, _beside(known, position.suspect, step), position.last)

        return move

    def back(self, visitor: Visitor) -> tuple[Any, ...]:
        """The suspect that was decided last, for whoever pressed the wrong key."""
        known, position = self.actions.suspects(), self._position(visitor)
        last = next((suspect for suspect in known.all if suspect.prompt_id == position.last), None)
        if last is None:
            raise InputError("nothing has been decided on this page yet")
        return self._show(visitor, known, last, position.last)

    def decider(self, decision: str) -> Any:
        """The handler of a button that decides on the suspect on show, and goes on to the next."""

        def decide(visitor: Visitor, agents: list[str], note: str) -> tuple[Any, ...]:
            position = self._position(visitor)
            if position.suspect is None:
                return self.enter(visitor)
            try:
                message = self._write(visitor, position.suspect, decision, tuple(agents or ()), note or "")
            except SwitchtenderError as error:
                # Decided by somebody else meanwhile: say so and go on. Any other refusal leaves the suspect on show.
                known = self.actions.suspects()
                still = next((s for s in known.all if s.prompt_id == position.suspect.prompt_id), None)
                if still is not None and still.decision == position.suspect.decision:
                    raise
                return self._show(visitor, known, _beside(known, position.suspect, 1), position.last, str(error), BAD)
            known = self.actions.suspects()
            following = _beside(known, position.suspect, 1)
            return self._show(visitor, known, following, position.suspect.prompt_id, message, GOOD)

        return decide

    def _write(self, visitor: Visitor, suspect: Suspect, decision: str, agents: tuple[str, ...], note: str) -> str:
        """Check a decision, have it written down, and return the line that says so."""
        label = agents if decision == RELABEL else ()
        if decision == RELABEL and set(agents) == set(suspect.agents):
            raise InputError("that is the label it has; tick the right agents, or keep it with k")
        if decision == RELABEL and not agents:
            raise InputError("a label names at least one agent; tick them, or drop the row with d")
        self.actions.decide(
            LabelDecision(
                suspect.prompt_id, suspect.text_sha256, decision, label, visitor.signature, note, suspect.decision
            )
        )
        said = {KEEP: "kept as it is", DROP: "dropped", RELABEL: f"relabelled to {', '.join(agents)}"}[decision]
        return f"{suspect.prompt_id} {said}. The next night takes it in."

    def _position(self, visitor: Visitor) -> ReviewPosition:
        return self._positions.get(visitor.session) or ReviewPosition(None)

    def _show(
        self, visitor: Visitor, known: Suspects, suspect: Suspect | None, last: str, message: str = "", tone: str = ""
    ) -> tuple[Any, ...]:
        import gradio as gr

        self._positions.put(visitor.session, ReviewPosition(suspect, last))
        html = (line(message, tone) if message else "") + draw("suspect", known=known, suspect=suspect)
        label = list(suspect.suggested or suspect.agents) if suspect else []
        return html, gr.update(choices=list(known.agents), value=label, visible=suspect is not None), ""


def _first(known: Suspects) -> Suspect | None:
    return next(iter(known.left), None)


def _same(known: Suspects, suspect: Suspect | None) -> Suspect | None:
    """The suspect as it is now, where it is still undecided and has the same text."""
    if suspect is None:
        return None
    return next(
        (s for s in known.left if (s.prompt_id, s.text_sha256) == (suspect.prompt_id, suspect.text_sha256)), None
    )


def _beside(known: Suspects, suspect: Suspect | None, step: int) -> Suspect | None:
    """The nearest one left above or below a suspect's rank, around the end; the suspect itself where it is alone."""
    left = known.left if step > 0 else known.left[::-1]
    if suspect is None or not left:
        return next(iter(left), None)
    return next((other for other in left if (other.rank - suspect.rank) * step > 0), left[0])
