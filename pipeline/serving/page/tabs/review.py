"""Tab Review: the night's label suspects one by one, decided by key or button, written down for the next night.

Law: a decision is on the row that its button was shown with, and on no other; `review.js` presses the next button when
the next row is on show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.data.label_reviews import DROP, KEEP, RELABEL
from pipeline.data.label_suspects import MOST_NOTE, NO_LABELS, LabelDecision, Suspect, Suspects
from pipeline.runtime.errors import InputError
from pipeline.serving.http.auth import REVIEW
from pipeline.serving.page.context import Noticed, Page
from pipeline.serving.page.rendering import BAD, GOOD, PLAIN, draw
from pipeline.serving.page.visitors import Sessions, Visitor


@dataclass(frozen=True)
class ShownRow:
    """The row on show, as the page sends it back: its text, the decision shown beside it, its id."""

    text_sha256: str
    seen: str
    prompt_id: str

    @classmethod
    def of(cls, suspect: Suspect) -> ShownRow:
        return cls(suspect.text_sha256, suspect.decision, suspect.prompt_id)

    @classmethod
    def parse(cls, text: str | None) -> ShownRow | None:
        """None where no row is on show."""
        parts = (text or "").split("|", 2)
        return cls(*parts) if len(parts) == 3 else None

    def __str__(self) -> str:
        return f"{self.text_sha256}|{self.seen}|{self.prompt_id}"

    def among(self, known: Suspects) -> Suspect | None:
        """The suspect that it is, if that is still there with the same text."""
        return known.with_text(self.prompt_id, self.text_sha256)


@dataclass(frozen=True)
class Draft:
    """What a person has ticked and written for one row, and not sent yet."""

    agents: tuple[str, ...]
    note: str


@dataclass
class ReviewDrafts:
    """One open page: drafts by row, and the rank on show last."""

    drafts: dict[tuple[str, str], Draft] = field(default_factory=dict)
    rank: int = 0


def add(page: Page, tab: Any, _served: Any) -> None:
    """The suspect, the label to give, a note, and the buttons whose keys `review.js` presses; below, the feedback."""
    import gradio as gr

    handler = ReviewTab(page)
    if page.of_agents:
        _add_suspects(page, tab, handler)
    else:
        gr.HTML(draw("review_of_models", told=NO_LABELS), apply_default_css=False)
    told, hints = page.place("hints")
    page.on(tab.select, handler.hints, [], [hints], told, may=REVIEW)


def _add_suspects(page: Page, tab: Any, handler: ReviewTab) -> None:
    import gradio as gr

    with gr.Column(elem_id="review"):
        told, shown = page.place("suspect")
        row = gr.Textbox(visible=False)
        agents = gr.CheckboxGroup([], label="The right label, for r", elem_id="review-agents")
        note = gr.Textbox(label="Note (optional)", max_length=MOST_NOTE, max_lines=3, elem_id="review-note")
        with gr.Row(elem_id="review-decide"):
            keep = gr.Button("Keep  (k)", elem_id="review-keep", min_width=110)
            relabel = gr.Button("Relabel  (r)", variant="primary", elem_id="review-relabel", min_width=110)
            drop = gr.Button("Drop  (d)", elem_id="review-drop", min_width=110)
        with gr.Row(elem_id="review-move"):
            before = gr.Button("← Previous", size="sm", elem_id="review-previous", min_width=90)
            after = gr.Button("Next →", size="sm", elem_id="review-next", min_width=90)
            undo = gr.Button("Undo  (u)", size="sm", elem_id="review-again", min_width=90)
    view = [shown, row, agents, note]
    page.on(tab.select, handler.enter, view[1:], view, told, may=REVIEW)
    for button, step in ((before, -1), (after, 1)):
        page.on(button.click, handler.mover(step), view[1:], view, told, may=REVIEW)
    page.on(undo.click, handler.undo, view[1:], view, told, may=REVIEW)
    for button, decision in ((keep, KEEP), (relabel, RELABEL), (drop, DROP)):
        page.on(button.click, handler.decider(decision), view[1:], view, told, may=REVIEW)


class ReviewTab:
    """Walks each reviewer through what is left. A handler takes the row on show, what is ticked, and the note."""

    def __init__(self, page: Page) -> None:
        self.actions = page.actions
        self._sessions: Sessions[ReviewDrafts] = page.visitors.sessions()

    def hints(self, _visitor: Visitor) -> str:
        """Feedback that the service was sent lately."""
        return draw("hints", hints=self.actions.hints())

    def enter(self, visitor: Visitor, row: str, agents: list[str], note: str) -> tuple[Any, ...]:
        """The suspect that is on show if it is still undecided, else the first that is left."""
        session, known = self._left(visitor, row, agents, note), self.actions.suspects()
        at = ShownRow.parse(row)
        shown = at.among(known) if at else None
        return _view(session, known, shown if shown in known.left else next(iter(known.left), None))

    def mover(self, step: int) -> Any:
        """The handler of a button that goes on or back among those that are left, around the end."""

        def move(visitor: Visitor, row: str, agents: list[str], note: str) -> tuple[Any, ...]:
            session, known = self._left(visitor, row, agents, note), self.actions.suspects()
            return _view(session, known, known.beside(session.rank, step))

        return move

    def undo(self, visitor: Visitor, row: str, agents: list[str], note: str) -> Noticed:
        """Take back the person's latest decision since the night that still stands, and show its row as decided.

        It is the file that is asked, so that a reload or another day forgets nothing.
        """
        session = self._left(visitor, row, agents, note)
        *before, last = self.actions.decided_by(visitor.signature) or (None,)
        if last is None:
            raise InputError("nothing is left to undo: since the latest night you have decided nothing else")
        self.actions.take_back(last)
        session.drafts[last.prompt_id, last.text_sha256] = Draft(last.agents, last.note)
        known = self.actions.suspects()
        suspect = known.with_text(last.prompt_id, last.text_sha256)
        values = _view(session, known, suspect, last)
        more = f"; {len(before)} more can be undone" if before else ""
        return Noticed(values, f"{last.prompt_id} is undecided again (it was: {last.decision}){more}", PLAIN)

    def decider(self, decision: str) -> Any:
        """The handler of a button that decides on the suspect on show, and goes on to the next."""

        def decide(visitor: Visitor, row: str, agents: list[str], note: str) -> Noticed:
            session, at = self._session(visitor), ShownRow.parse(row)
            if at is None:
                raise InputError("no suspect is on show; go to one with Next")
            on_show = at.among(self.actions.suspects())
            if on_show is None:
                raise InputError(f"{at.prompt_id} was changed or removed in the dataset meanwhile; go on with Next")
            made = on_show.decided(decision, agents, visitor.signature, note or "", at.seen)
            try:
                self.actions.decide(made)
            except InputError as error:
                known = self.actions.suspects()
                suspect = at.among(known)
                if suspect is None or suspect.decision == at.seen:
                    raise
                # Somebody else has decided meanwhile: the row stays, with that decision beside it.
                session.drafts[at.prompt_id, at.text_sha256] = Draft(tuple(agents), note)
                return Noticed(_view(session, known, suspect), error.message, BAD)
            session.drafts.pop((at.prompt_id, at.text_sha256), None)
            known = self.actions.suspects()
            values = _view(session, known, known.beside(session.rank, 1))
            return Noticed(values, f"{at.prompt_id} {made.told}. The next night takes it in.", GOOD)

        return decide

    def _session(self, visitor: Visitor) -> ReviewDrafts:
        found = self._sessions.get(visitor.session) or ReviewDrafts()
        self._sessions.put(visitor.session, found)
        return found

    def _left(self, visitor: Visitor, row: str, agents: list[str], note: str) -> ReviewDrafts:
        """The session, after keeping what was ticked and written for the row that is on show."""
        session, at = self._session(visitor), ShownRow.parse(row)
        if at is not None:
            session.drafts[at.prompt_id, at.text_sha256] = Draft(tuple(agents or ()), note or "")
        return session


def _view(
    session: ReviewDrafts, known: Suspects, suspect: Suspect | None, undone: LabelDecision | None = None
) -> tuple[Any, ...]:
    """What is on show: the card, the row behind it, the ticks and the note, as they were left."""
    import gradio as gr

    html = draw("suspect", known=known, suspect=suspect, undone=undone)
    if suspect is None:
        return html, "", gr.update(choices=list(known.agents), value=[], visible=False), ""
    session.rank = suspect.rank
    fresh = Draft(suspect.likely, "")
    draft = session.drafts.get((suspect.prompt_id, suspect.text_sha256), fresh)
    ticked = list(draft.agents if draft.agents or not undone else fresh.agents)
    return (
        html,
        str(ShownRow.of(suspect)),
        gr.update(choices=list(known.agents), value=ticked, visible=True),
        draft.note,
    )
