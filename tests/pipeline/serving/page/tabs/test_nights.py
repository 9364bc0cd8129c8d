"""The tab Nights behind its buttons: what is drawn, what is left in peace, and a night that is asked for once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.metrics.bootstrap import Estimate
from pipeline.reports.night_history import UNDER_WAY, NightHistory, NightRow, RowCounts, StageTime
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.track import AGENTS
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.actions import NightRehearsal
from pipeline.serving.page.context import Noticed, Page, TrackView
from pipeline.serving.page.night_charts import HEIGHT, TOP, WIDTH, bars, figure_charts
from pipeline.serving.page.report_links import ReportLinks
from pipeline.serving.page.tabs.nights import PER_VIEW, NightsTab
from pipeline.serving.page.visitors import Visitors

VISITOR: Any = SimpleNamespace(session="a page", signature="ana")


def night(number: int, state: str = "registered", value: float | None = 0.8, **facts: Any) -> NightRow:
    known: dict[str, Any] = {
        "track": "agents", "started": f"2026-03-{number:02d}T03:00:00+00:00", "ended": "", "scheduled": "",
        "run_key": f"nightly-{number}", "state": state, "reason": "", "advice": "", "version": str(number),
        "promoted": "", "stages": (StageTime("validate", 1.0), StageTime("train", 3.0)), "stage": "", "percent": None,
        "figure": None if value is None else Estimate(value, value - 0.02, value + 0.01), "rows": RowCounts(),
        "documents": {"report": "report.html"}, "note": "",
    }  # fmt: skip
    return NightRow(**{**known, **facts})


class Project:
    """Many nights, and a schedule that takes one or not."""

    def __init__(self) -> None:
        self.rows = [night(number) for number in range(28, 0, -1)] * 2
        self.refusal = ""
        self.started: list[Any] = []

    def nights(self, most: int) -> NightHistory:
        return NightHistory(tuple(self.rows[:most]), max(0, len(self.rows) - most))

    def nights_stamp(self) -> str:
        return str(len(self.rows))

    def night_document(self, run_key: str, path: str) -> bytes:
        if path != "report.html":
            raise InputError(f"there is no document '{path}'")
        return f"report of {run_key}".encode()

    def rehearse_night(self, tracks: Any) -> NightRehearsal:
        if self.refusal:
            raise InputError(self.refusal)
        return NightRehearsal({"agents": True, "models": False}, waits=True)

    def start_night(self, tracks: Any, who: str) -> None:
        if self.refusal:
            raise SwitchtenderError(self.refusal)
        self.started.append((tracks, who))


@pytest.fixture
def tab() -> NightsTab:
    people = Visitors(ApiKeys({}), 1_000_000)
    project: Any = Project()
    return NightsTab(Page(TrackView(AGENTS, None, project), people, ReportLinks(people), ()))  # type: ignore[arg-type]


def test_older_nights_come_on_request_and_stay(tab: NightsTab) -> None:
    _, listed, more = tab.look(VISITOR)
    assert listed.count('scope="row"') == PER_VIEW
    assert (more["visible"], more["value"]) == (True, "Show older nights (26 more)")
    _, listed, more = tab.older(VISITOR)
    assert (listed.count('scope="row"'), more["visible"]) == (56, False)
    assert tab.look(VISITOR)[1] == listed, "on coming back too, with the same addresses of documents"


def test_what_looks_by_itself_draws_only_what_has_changed(tab: NightsTab) -> None:
    skip = {"__type__": "update"}
    assert tab.look_again(VISITOR) == (skip, skip, skip), "the tab was not opened yet"
    tab.look(VISITOR)
    assert tab.look_again(VISITOR) == (skip, skip, skip)
    under_way = night(29, UNDER_WAY, None, stage="train", percent=62.4)
    tab.actions.rows.insert(0, under_way)  # type: ignore[attr-defined]
    now, listed, _ = tab.look_again(VISITOR)
    assert 'aria-valuenow="62"' in now
    assert "under way" in listed
    now, listed, _ = tab.look_again(VISITOR)
    assert ('aria-valuenow="62"' in now, listed) == (True, skip), "it moves, the list does not"


def test_a_night_is_shown_before_it_is_asked_for_and_asked_for_once(tab: NightsTab) -> None:
    shown, confirm, _ = tab.rehearse(VISITOR, "")  # type: ignore[misc]
    assert "A night of agents: something is new" in shown
    assert "A night of models: nothing is new" in shown
    assert "wait for the night" in shown
    assert confirm["value"] == "Start it: a night of agents and models"
    assert tab.actions.started == [], "nothing before the yes"  # type: ignore[attr-defined]
    assert tab.confirm(VISITOR).tone == "good"
    with pytest.raises(InputError, match="nothing waits"):
        tab.confirm(VISITOR)
    tab.rehearse(VISITOR, "models")
    tab.confirm(VISITOR)
    assert tab.actions.started == [((), "ana"), (("models",), "ana")]  # type: ignore[attr-defined]


def test_nothing_waits_where_it_was_refused_or_cancelled(tab: NightsTab) -> None:
    tab.rehearse(VISITOR, "")
    tab.actions.refusal = "no schedule runs here"  # type: ignore[attr-defined]
    told = tab.rehearse(VISITOR, "")
    assert isinstance(told, Noticed)
    assert (told.message, [one["visible"] for one in told.values[1:]]) == ("no schedule runs here", [False, False])
    with pytest.raises(InputError, match="nothing waits"):
        tab.confirm(VISITOR)
    tab.actions.refusal = ""  # type: ignore[attr-defined]
    tab.rehearse(VISITOR, "")
    tab.cancel(VISITOR)
    with pytest.raises(InputError, match="nothing waits"):
        tab.confirm(VISITOR)


def test_a_refusal_on_the_way_is_said(tab: NightsTab) -> None:
    tab.rehearse(VISITOR, "")
    tab.actions.refusal = "Prefect's server took no night"  # type: ignore[attr-defined]
    told = tab.confirm(VISITOR)
    assert (told.message, told.tone, len(told.values)) == ("Prefect's server took no night", "bad", 3)


def test_documents_are_behind_an_address_that_was_handed_out(tab: NightsTab) -> None:
    reports = tab.page.reports
    address = reports.of_nights(tab.actions, "a page").removeprefix("report/")
    assert address in tab.look(VISITOR)[1]
    found = reports.answer_night(address, "nightly-1", "report.html")
    assert (found.status_code, found.body) == (200, b"report of nightly-1")
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    assert found.headers["Cache-Control"] == "no-store"
    assert reports.answer_night(address, "nightly-1", "run.json").status_code == 404
    assert reports.answer_night("guessed", "nightly-1", "report.html").status_code == 404
    assert reports.of_nights(tab.actions, "another page") != f"report/{address}"


def test_bars_are_on_one_scale_and_stages_follow_each_other() -> None:
    long, short, none = bars([night(1), night(2, stages=(StageTime("validate", 2.0),)), night(3, stages=())])
    assert [(part.x, part.width) for part in long] == [(0.0, 25.0), (25.0, 75.0)]
    assert [(part.x, part.width) for part in short] == [(0.0, 50.0)]
    assert none == ()


def test_a_figure_s_chart_goes_from_old_to_new_within_its_drawing() -> None:
    nights = [night(number, value=0.5 + number / 100) for number in range(28, 0, -1)] + [night(29, "failed", None)]
    (chart,) = figure_charts(nights)
    assert [mark.night.started for mark in chart.marks] == sorted(mark.night.started for mark in chart.marks)
    assert len(chart.marks) == 28
    assert len(chart.x_ticks) <= 4
    assert all(0 < mark.x < WIDTH and TOP <= mark.high < mark.y < mark.low < HEIGHT for mark in chart.marks)
    assert [chart.track for chart in figure_charts([*nights, night(3, track="models")])] == ["agents", "models"]
    (single,) = figure_charts([night(1, value=0.0)])
    assert single.marks[0].x == pytest.approx(WIDTH / 2, abs=20)
