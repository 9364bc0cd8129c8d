"""The tab Route behind its buttons: one question to the engine, then as many choices as the policy changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.encoders.training_index import TrainingNeighbour
from pipeline.policies.policy import BestPolicy, Policy, SubsetPolicy
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.track import AGENTS
from pipeline.serving.engine.decision import BEST, BUDGET, STORED
from pipeline.serving.engine.hot_swap import ServedVersion
from pipeline.serving.engine.scored import ScoredText
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.context import Noticed, Page, TrackView
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.tabs.route import ONE_THRESHOLD, RouteTab
from pipeline.serving.page.visitors import Visitor, Visitors

NAMES = ("coding", "email", "sql")


class CountingEngine:
    """Answers every prompt alike and counts the questions: what is tested is that there is only one."""

    candidates = NAMES
    precision = "fp32"

    def __init__(self, policy: Policy, cost: Sequence[float]) -> None:
        self.policy = policy
        self.cost = np.asarray(cost, dtype=np.float32)
        self.asked: list[str] = []

    def offered(self, prompt: str, scored: ScoredText) -> ScoredText:
        return scored

    def score(self, prompts: Sequence[str]) -> list[ScoredText]:
        self.asked.extend(prompts)
        quality = np.array([0.2, 0.9, 0.6], dtype=np.float32)
        near = (TrainingNeighbour("p7", ("email",), 0.91), TrainingNeighbour("a3", ("sql",), 0.5))
        return [ScoredText(quality, self.cost, 9, 1, near) for _ in prompts]


class OneVersion:
    """A switch that never changes."""

    params = ServeParams()

    def __init__(self, engine: CountingEngine) -> None:
        self.served = ServedVersion("4", "nightly-4", "f" * 64, engine, "2026-11-22T10:00:00+00:00")  # type: ignore[arg-type]


class Texts:
    """The one action that the tab needs."""

    def __init__(self, failure: SwitchtenderError | None = None) -> None:
        self.failure = failure

    def texts(self, version: str, prompt_ids: Sequence[str]) -> dict[str, str]:
        if self.failure:
            raise self.failure
        return {"p7": f"<i>the text that taught version {version}</i>"}


def desk(
    policy: Policy | None = None, cost: Sequence[float] = (0.01, 0.02, 0.03), actions: Any = None
) -> tuple[RouteTab, CountingEngine, Visitor]:
    engine = CountingEngine(policy or SubsetPolicy((0.5, 0.5, 0.7), True), cost)
    people = Visitors(ApiKeys({}), 1_000_000)
    view = TrackView(AGENTS, OneVersion(engine), actions or Texts())  # type: ignore[arg-type]
    page = Page(view, people, ReportLinks(people), ((AGENTS, "./"),))
    return RouteTab(page), engine, people.visitor(None, "a tab")


def chosen(html: str) -> list[str]:
    """The agents of the marked bars."""
    return [part.split('"')[0] for part in html.split('<li class="chosen" data-agent="')[1:]]


def thresholds(html: str) -> list[str]:
    return [part.split("%")[0] for part in html.split('class="threshold" style="left:')[1:]]


def test_every_candidate_has_a_bar_and_its_own_line() -> None:
    room, _, ana = desk()
    html = room.ask(ana, "send it", STORED, 0.5, 0.1)
    assert chosen(html) == ["email"]
    assert thresholds(html) == ["50.00", "70.00", "50.00"], "likeliest first: email, sql, coding"
    assert "version 4" in html
    assert "f" * 64 in html
    assert " ms" in html


def test_another_policy_moves_the_choice_without_asking_again() -> None:
    room, engine, ana = desk()
    room.ask(ana, "send it", STORED, 0.5, 0.1)
    assert chosen(room.choose(ana, "send it", ONE_THRESHOLD, 0.6, 0.1)) == ["email", "sql"]
    assert thresholds(room.choose(ana, "send it", ONE_THRESHOLD, 0.6, 0.1)) == ["60.00"] * 3
    assert chosen(room.choose(ana, "send it", ONE_THRESHOLD, 0.1, 0.1)) == ["email", "sql", "coding"]
    assert chosen(room.choose(ana, "send it", BEST, 0.1, 0.1)) == ["email"]
    assert thresholds(room.choose(ana, "send it", BEST, 0.1, 0.1)) == [], "the best one has no line to reach"
    assert chosen(room.choose(ana, "send it", BUDGET, 0.5, 0.015)) == ["coding"], "email does not fit any more"
    assert engine.asked == ["send it"]


def test_each_tab_keeps_its_own_answer() -> None:
    room, engine, ana = desk()
    room.ask(ana, "send it", STORED, 0.5, 0.1)
    other = Visitor(ana.person, "another tab", known=False)
    assert "appear here" in room.choose(other, "", BEST, 0.5, 0.1)
    assert "book it" in room.choose(other, "book it", BEST, 0.5, 0.1)
    assert "send it" in room.choose(ana, "send it", BEST, 0.5, 0.1)
    assert engine.asked == ["send it", "book it"]


def test_a_policy_never_decides_on_another_prompt_than_stands_in_the_field() -> None:
    room, engine, ana = desk()
    assert "send it" in room.ask(ana, "send it", STORED, 0.5, 0.1)
    html, *_ = room.change(ana, "<b>post</b> it", BEST, 0.5, 0.1)  # type: ignore[misc]
    assert "send it" not in html
    assert "&lt;b&gt;post&lt;/b&gt; it" in html
    assert engine.asked == ["send it", "<b>post</b> it"]
    assert "appear here" in room.choose(ana, " ", BEST, 0.5, 0.1), "an empty field has no answer beside it"
    told = room.change(ana, "x" * 100_001, BEST, 0.5, 0.1)
    assert isinstance(told, Noticed)
    assert "100,000 characters" in told.message
    assert len(engine.asked) == 2


def test_a_long_prompt_is_named_in_short_with_all_of_it_at_hand() -> None:
    room, _, ana = desk()
    prompt = "send it, " * 100 + "and then rest"
    summary, _, rest = room.ask(ana, prompt, STORED, 0.5, 0.1).partition("</summary>")
    assert prompt not in summary
    assert "913 characters" in summary
    assert prompt in rest


def test_an_answer_of_which_none_reaches_its_threshold_says_so() -> None:
    room, _, ana = desk(policy=SubsetPolicy((0.1, 0.95, 0.7), at_least_one=True))
    assert "reaches its threshold" not in room.ask(ana, "send it", STORED, 0.5, 0.1)
    html = room.choose(ana, "send it", ONE_THRESHOLD, 0.99, 0.1)
    assert "none reaches its threshold" in html
    assert chosen(html) == ["email"], "the likeliest"


def test_a_language_that_the_encoder_was_not_made_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    room, engine, ana = desk()
    assert "was not made for" not in room.ask(ana, "send it", STORED, 0.5, 0.1)
    score = engine.score
    monkeypatch.setattr(
        engine, "score", lambda asked: [replace(one, unsupported_language="German") for one in score(asked)]
    )
    assert "in German, which the encoder was not made for" in room.ask(ana, "schick es", STORED, 0.5, 0.1)


def test_costs_are_shown_where_they_are_known() -> None:
    known, _, ana = desk()
    assert "$0.02 expected" in known.ask(ana, "send it", STORED, 0.5, 0.1)
    unknown, _, ana = desk(cost=(np.nan,) * 3)
    assert "expected" not in unknown.ask(ana, "send it", STORED, 0.5, 0.1)
    with pytest.raises(InputError, match="knows no costs"):
        unknown.choose(ana, "send it", BUDGET, 0.5, 0.1)


def test_nearest_prompts_are_shown_with_the_text_where_there_is_one() -> None:
    room, _, ana = desk()
    html = room.ask(ana, "send it", STORED, 0.5, 0.1)
    assert "&lt;i&gt;the text that taught version 4&lt;/i&gt;" in html
    assert "<i>the text" not in html
    assert html.count("not in the dataset") == 1


def test_an_answer_without_texts_is_still_an_answer() -> None:
    room, _, ana = desk(actions=Texts(SwitchtenderError("the store is away")))
    assert chosen(room.ask(ana, "send it", STORED, 0.5, 0.1)) == ["email"]


def test_a_router_that_chooses_one_has_no_thresholds() -> None:
    room, _, ana = desk(policy=BestPolicy())
    assert thresholds(room.ask(ana, "send it", STORED, 0.5, 0.1)) == []
    with pytest.raises(InputError, match="thresholds apply"):
        room.choose(ana, "send it", ONE_THRESHOLD, 0.5, 0.1)


@pytest.mark.parametrize(("policy", "cost", "missing"), [
    (SubsetPolicy((0.5, 0.5, 0.7), True), (0.01, 0.02, 0.03), set()),
    (BestPolicy(), (0.01, 0.02, 0.03), {ONE_THRESHOLD}),
    (SubsetPolicy((0.0,) * 3, at_least_one=True, exactly_one=True), (0.01, 0.02, 0.03), {ONE_THRESHOLD}),
    (BestPolicy(), (np.nan,) * 3, {ONE_THRESHOLD, BUDGET}),
])  # fmt: skip
def test_a_policy_that_would_refuse_every_prompt_is_not_offered(
    policy: Policy, cost: Sequence[float], missing: set[str]
) -> None:
    room, _, ana = desk(policy=policy, cost=cost)
    told = room.offer(ana, ONE_THRESHOLD)
    assert {value for _, value in told["choices"]} == {STORED, ONE_THRESHOLD, BEST, BUDGET} - missing
    assert told["value"] == (STORED if missing else ONE_THRESHOLD)


def test_a_policy_that_is_refused_leaves_the_answer_where_it_is() -> None:
    room, _, ana = desk(policy=BestPolicy())
    room.ask(ana, "send it", STORED, 0.5, 0.1)
    told = room.change(ana, "send it", ONE_THRESHOLD, 0.5, 0.1)
    assert isinstance(told, Noticed)
    assert "thresholds apply" in told.message
    assert "value" not in told.values[0]


@pytest.mark.parametrize("prompt", ["", " \n", None, "x" * 100_001])
def test_prompts_that_are_none_are_refused(prompt: str) -> None:
    room, engine, ana = desk()
    with pytest.raises(InputError):
        room.ask(ana, prompt, STORED, 0.5, 0.1)
    assert engine.asked == []


def test_the_latest_tabs_are_remembered_by_any_thread_and_take_no_more_than_they_may() -> None:
    room, _, ana = desk()

    def many(first: int) -> None:
        for number in range(first, first + 100):
            room.ask(Visitor(ana.person, f"tab {number}", known=False), "send it" + " now" * 20_000, STORED, 0.5, 0.1)

    threads = [threading.Thread(target=many, args=(first,)) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    remembered = room.page.visitors._remembered
    assert 900_000 < remembered.bytes <= remembered.most == 1_000_000
    assert sum(room._asked.get(f"tab {number}") is not None for number in range(200)) == len(remembered)
