"""The tab Versions behind its buttons: the lists and the comparison follow a promotion together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.runtime.errors import InputError
from pipeline.runtime.track import AGENTS, MODELS
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.actions import VersionMove, VersionRow
from pipeline.serving.page.context import Noticed, Page, TrackView
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.tabs import versions
from pipeline.serving.page.tabs.versions import VersionsTab
from pipeline.serving.page.version_choices import VersionChoices
from pipeline.serving.page.visitors import Visitors


class Store:
    """Three versions, of which one serves; comparisons are named by their pair."""

    def __init__(self) -> None:
        self.champion, self.refusal = "1", ""

    def versions(self) -> tuple[VersionRow, ...]:
        return tuple(
            VersionRow(number, ("champion",) if number == self.champion else (), "run", 1, 0.5, None, ())
            for number in "321"
        )

    def compare(self, older: str, newer: str) -> Any:
        return f"from {older} to {newer}"

    def rehearse_promotion(self, version: str, reason: str) -> VersionMove:
        return VersionMove(self.champion, version)

    def rehearse_rollback(self, reason: str) -> VersionMove:
        raise InputError("version 1 learnt from forgotten rows", "or say --force with a reason")

    def promote(self, shown: VersionMove, reason: str, who: str) -> VersionMove:
        if self.refusal:
            raise InputError(self.refusal)
        before, self.champion = self.champion, shown.version_to
        return VersionMove(before, shown.version_to)


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch) -> VersionsTab:
    monkeypatch.setattr(versions, "draw", lambda template, **facts: str(facts.get("found", template)))
    monkeypatch.setattr(VersionsTab, "_texts", lambda *_: {})
    view = TrackView(AGENTS, None, Store())  # type: ignore[arg-type]
    people = Visitors(ApiKeys({}), 1_000_000)
    return VersionsTab(Page(view, people, ReportLinks(people), ()))


VISITOR: Any = SimpleNamespace(session="a page", signature="ana")


def listed(tab: VersionsTab, *present: str | None) -> tuple[list[str], Any]:
    _, *lists, difference = tab.list(VISITOR, *present)
    return [one["value"] for one in lists], difference


def test_a_promotion_sets_lists_and_comparison_anew_together(tab: VersionsTab) -> None:
    assert listed(tab, None, None, None)[0] == ["1", "3", "3"]
    assert tab.compare(VISITOR, "1", "2") == "from 1 to 2"
    assert listed(tab, "1", "2", "2")[0] == ["1", "2", "2"], "while the same version serves, a choice stays"
    tab.rehearse_promotion(VISITOR, "2", "better")
    told = tab.confirm(VISITOR, "1", "2", "2")
    assert isinstance(told, Noticed)
    *_, older, newer, target, difference = told.values
    assert [one["value"] for one in (older, newer, target)] == ["2", "3", "3"]
    assert difference == "from 2 to 3"


def test_a_promotion_by_somebody_else_does_the_same(tab: VersionsTab) -> None:
    listed(tab, None, None, None)
    tab.compare(VISITOR, "1", "3")
    tab.actions.champion = "3"  # type: ignore[attr-defined]
    _, *lists, difference = tab.follow(VISITOR, "1", "3", "3")
    assert ([one["value"] for one in lists], difference) == (["3", "2", "2"], "from 3 to 2")


def test_a_comparison_follows_the_lists_and_is_gone_where_they_make_none(tab: VersionsTab) -> None:
    assert "update" in str(tab.compare_again(VISITOR, "1", "2")), "none is on show, so none is made"
    tab.compare(VISITOR, "1", "2")
    assert tab.compare_again(VISITOR, "1", "3") == "from 1 to 3"
    assert tab.compare_again(VISITOR, "1", "1") == ""


def test_a_refused_move_leaves_nothing_to_confirm_and_names_no_option(tab: VersionsTab) -> None:
    tab.rehearse_promotion(VISITOR, "2", "better")
    told = tab.rehearse_rollback(VISITOR, "worse")
    assert isinstance(told, Noticed)
    assert told.message == "version 1 learnt from forgotten rows"
    assert [value["visible"] for value in told.values[1:]] == [False, False]
    with pytest.raises(InputError, match="nothing waits"):
        tab.confirm(VISITOR, "1", "2", "2")


def test_a_move_that_is_refused_when_it_is_made_leaves_the_lists(tab: VersionsTab) -> None:
    tab.rehearse_promotion(VISITOR, "2", "better")
    tab.actions.refusal = "somebody was faster"  # type: ignore[attr-defined]
    told = tab.confirm(VISITOR, "1", "2", "2")
    assert told.message == "somebody was faster"
    assert len(told.values) == 9, "as many as the event has outputs"


def test_a_single_list_follows_what_serves(tab: VersionsTab) -> None:
    choices, rows = VersionChoices(Visitors(ApiKeys({}), 1_000_000)), tab.actions.versions()
    assert choices.one("page", rows, None) == "1"
    assert choices.one("page", rows, "3") == "3"
    tab.actions.champion = "2"  # type: ignore[attr-defined]
    assert choices.one("page", tab.actions.versions(), "3") == "2"
    with pytest.raises(InputError, match="make nightly"):
        choices.one("page", (), None)


@pytest.mark.parametrize(("track", "name"), [(AGENTS, "micro-F1"), (MODELS, "quality")])
def test_the_table_names_the_tracks_own_figure(track: Any, name: str) -> None:
    rows = (VersionRow("1", (), "run", 1, 0.5, None, ()),)
    assert f'<th class="number">{name}</th>' in draw("versions", rows=rows, headline=track.headline)
    assert "make nightly" in draw("versions", rows=(), headline=track.headline, night="make nightly")
