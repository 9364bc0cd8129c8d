"""The tab Review behind its buttons: what is on show is what is decided, and nothing that was typed is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.data.label_reviews import DROP, KEEP, RELABEL
from pipeline.data.label_suspects import LabelDecision, Suspect, Suspects
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import AGENTS
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.context import Noticed, Page, TrackView
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.tabs.review import ReviewTab
from pipeline.serving.page.visitors import Visitor, Visitors

NAMES = ("coding", "email", "sql")


class Decisions:
    """Four suspects, of which the models suggest nothing for the first; decisions in memory."""

    def __init__(self) -> None:
        self.all = [
            Suspect(
                i, f"p{i}", f"digest {i}", f"text {i}", ("coding",), () if i == 1 else ("sql",), 0.1, "", "", "", ""
            )
            for i in range(1, 5)
        ]
        self.made: list[LabelDecision] = []

    def suspects(self) -> Suspects:
        latest = {made.prompt_id: made for made in self.made}
        shown = [replace(one, decision=latest[one.prompt_id].decision, reviewer=latest[one.prompt_id].reviewer)
                 if one.prompt_id in latest else one for one in self.all]  # fmt: skip
        return Suspects("nightly-1", tuple(shown), 0, NAMES)

    def decide(self, decision: LabelDecision) -> None:
        latest = {made.prompt_id: made for made in self.made}.get(decision.prompt_id)
        if latest and latest.decision != decision.seen:
            raise InputError(f"{latest.reviewer} has decided on {decision.prompt_id} meanwhile")
        self.made.append(decision)

    def decided_by(self, reviewer: str) -> tuple[LabelDecision, ...]:
        latest = {made.prompt_id: made for made in self.made}
        return tuple(made for made in self.made if made.reviewer == reviewer and made is latest[made.prompt_id])

    def take_back(self, decision: LabelDecision) -> None:
        self.made.remove(decision)


class Browser:
    """What is on show in one open page: a refusal shows its line and leaves all else."""

    def __init__(self, actions: Decisions | None = None) -> None:
        self.actions = actions or Decisions()
        people = Visitors(ApiKeys({}), 1_000_000)
        view = TrackView(AGENTS, None, self.actions)  # type: ignore[arg-type]
        self.tab = ReviewTab(Page(view, people, ReportLinks(people), ()))
        self.visitor: Visitor = people.visitor(None, "a page")
        self.card, self.row, self.ticked, self.note, self.told = "", "", list[str](), "", ""
        self.press(self.tab.enter)

    def press(self, handler: Any) -> None:
        try:
            answer = handler(self.visitor, self.row, self.ticked, self.note)
        except InputError as error:
            self.told = str(error)
            return
        self.told = answer.message if isinstance(answer, Noticed) else ""
        self.card, self.row, ticks, self.note = answer.values if isinstance(answer, Noticed) else answer
        self.ticked = list(ticks["value"])

    def decide(self, decision: str) -> None:
        self.press(self.tab.decider(decision))

    @property
    def shown(self) -> str:
        return self.row.split("|")[-1]


@pytest.fixture
def page() -> Browser:
    return Browser()


def test_each_refusal_leaves_the_row_the_ticks_and_the_note_on_show(page: Browser) -> None:
    page.note = "let me see"
    for ticked, press, said in (
        ([], page.tab.decider(RELABEL), "at least one agent"),
        (["coding"], page.tab.decider(RELABEL), "the label it has"),
        (["coding"], page.tab.undo, "nothing is left to undo"),
    ):
        page.ticked = ticked
        page.press(press)
        assert said in page.told
        assert (page.shown, page.ticked, page.note) == ("p1", ticked, "let me see")
        assert "text 1" in page.card
    assert page.actions.made == []


def test_a_decision_is_on_the_row_that_was_on_show_and_on_no_other(page: Browser) -> None:
    first = page.row
    page.decide(KEEP)
    page.row = first
    page.decide(DROP)
    assert "has decided on p1 meanwhile" in page.told
    assert page.shown == "p1", "the row stays, with the decision that came before"
    assert [(made.prompt_id, made.decision) for made in page.actions.made] == [("p1", KEEP)]
    page.decide(DROP)
    assert [made.decision for made in page.actions.made] == [KEEP, DROP], "now it was shown, and may be changed"


def test_a_row_that_left_the_dataset_takes_no_decision_with_it(page: Browser) -> None:
    page.actions.all = page.actions.all[1:]
    page.decide(KEEP)
    assert "p1 was changed or removed" in page.told
    assert page.actions.made == []
    page.press(page.tab.mover(1))
    assert page.shown == "p2"


def test_what_was_ticked_and_written_stays_with_its_row(page: Browser) -> None:
    page.ticked, page.note = ["email"], "=ask Ana"
    page.press(page.tab.mover(1))
    assert (page.shown, page.ticked, page.note) == ("p2", ["sql"], "")
    page.note = "two"
    page.press(page.tab.mover(-1))
    assert (page.shown, page.ticked, page.note) == ("p1", ["email"], "=ask Ana")
    page.press(page.tab.enter)
    assert (page.shown, page.ticked, page.note) == ("p1", ["email"], "=ask Ana"), "another tab and back"
    page.decide(RELABEL)
    assert (page.actions.made[0].agents, page.actions.made[0].note) == (("email",), "=ask Ana")
    assert (page.shown, page.note) == ("p2", "two")


def test_undo_goes_all_the_way_back_and_passes_over_what_cannot_be_undone(page: Browser) -> None:
    page.note = "a note"
    for decision in (KEEP, RELABEL, DROP):
        page.decide(decision)
    assert page.shown == "p4"
    page.press(page.tab.undo)
    assert (page.shown, len(page.actions.made)) == ("p3", 2)
    assert "decided: drop, taken back" in page.card
    page.actions.made.append(replace(page.actions.made[-1], reviewer="bo", decision=DROP))
    page.press(page.tab.undo)
    assert (page.shown, page.note) == ("p1", "a note"), "what somebody else has decided since on p2 stands"
    page.press(page.tab.undo)
    assert "nothing is left to undo" in page.told
    assert [made.prompt_id for made in page.actions.made] == ["p2", "p2"]


def test_undo_reaches_what_was_decided_before_a_reload(page: Browser) -> None:
    page.note = "a note"
    page.decide(KEEP)
    page.ticked = ["email"]
    page.decide(RELABEL)
    page.actions.made.append(replace(page.actions.made[0], prompt_id="p4", text_sha256="digest 4", reviewer="bo"))
    again = Browser(page.actions)
    again.press(again.tab.undo)
    assert (again.shown, again.ticked) == ("p2", ["email"])
    assert "1 more can be undone" in again.told
    again.press(again.tab.undo)
    assert (again.shown, again.note) == ("p1", "a note")
    again.press(again.tab.undo)
    assert "nothing is left to undo" in again.told
    assert [made.reviewer for made in page.actions.made] == ["bo"]


def test_when_all_is_decided_nothing_is_on_show_to_decide(page: Browser) -> None:
    for _ in range(4):
        page.decide(KEEP)
    assert (page.row, len(page.actions.made)) == ("", 4)
    page.decide(KEEP)
    assert "no suspect is on show" in page.told
