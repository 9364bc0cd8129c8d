"""Whatever a text says, the page shows it as text: every template, filled with markup."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.data.label_suspects import LabelDecision, Suspect, Suspects
from pipeline.gating.results import GateResult
from pipeline.metrics.bootstrap import Estimate
from pipeline.reports.night_history import NightHistory, NightRow, RowCounts, StageTime
from pipeline.runtime.track import AGENTS, MODELS
from pipeline.serving.engine.traffic import SPANS, Traffic, TrafficFigures
from pipeline.serving.page.actions import (
    Hint,
    HoldoutAnswers,
    NightRehearsal,
    Trace,
    TracedRow,
    VersionMove,
    VersionRow,
)
from pipeline.serving.page.night_charts import bars, figure_charts
from pipeline.serving.page.rendering import draw, notice, share, usd
from pipeline.serving.page.tabs.models import render
from pipeline.serving.page.traffic_charts import traffic_charts
from pipeline.versions.audit import Answered, Audit, FileLocation, KeptFile, Removal, Term
from pipeline.versions.diff import Change, CodeChange, DatasetRow, RowChange, RowDiff, Side, VersionDiff
from pipeline.versions.prediction_diff import Flip, HoldoutDiff, PairedMetric
from pipeline.versions.provenance import DATA

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{ 7 * 7 }}${alert(3)}"
TERM = Term(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, True, {EVIL: EVIL})
GATE = GateResult(EVIL, 0.5, 0.5, EVIL, EVIL)
SUSPECT = Suspect(1, EVIL, EVIL, EVIL, (EVIL,), (EVIL,), 0.1, EVIL, EVIL, EVIL, EVIL)
AUDIT = Audit(
    asked=EVIL, model=EVIL, version=EVIL, run_key=EVIL, mlflow_run=EVIL, aliases=(EVIL,), terms=(TERM,), before=(TERM,),
    after=TERM, answered=(Answered(EVIL, EVIL, EVIL),), commit=EVIL, ref=EVIL, provenance_sha256=EVIL,
    forgotten=(EVIL,), pruned=Removal(EVIL, EVIL, EVIL), alias_moved_to=EVIL, faults=(EVIL,),
    uncommitted_params=(EVIL,), records=EVIL, key=EVIL,
    files=(KeptFile(EVIL, DATA, EVIL, (FileLocation(EVIL, EVIL, EVIL, EVIL),)),), facts=None,
)  # fmt: skip
ROW = {"prompt_id": EVIL, "split": EVIL, "agents": EVIL, "reason": EVIL, "parents": EVIL, "fate": EVIL}
ROW_THEN = DatasetRow(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL)
ROW_CHANGE, CHANGE = RowChange(EVIL, EVIL, EVIL, EVIL, EVIL), Change(EVIL, EVIL, EVIL)
DIFF = VersionDiff(
    Side(EVIL, EVIL), Side(EVIL, EVIL),
    RowDiff((ROW_THEN,), (ROW_THEN,), (ROW_CHANGE,), (ROW_CHANGE,), (ROW_CHANGE,), (ROW_CHANGE,), 0, 0),
    None, (CHANGE,), (CHANGE,), (CHANGE,), (CodeChange(EVIL, 1, None),),
    HoldoutDiff(1, 0, 0, 0, (PairedMetric(EVIL, 1, 0.1, 0.2, Estimate(0.1, 0.0, 0.2)),),
                (Flip(EVIL, EVIL, (EVIL,), (f"{EVIL}a",), (f"{EVIL}b",)),)),
)  # fmt: skip
SERVED = SimpleNamespace(version=EVIL, run_key=EVIL, provenance_sha256=EVIL, since=EVIL,
                         engine=SimpleNamespace(precision=EVIL))  # fmt: skip
STAGES, FIGURE = (StageTime(EVIL, 1.0, EVIL),), Estimate(0.1, 0.0, 0.2)
NIGHT = NightRow("agents", *[EVIL] * 9, STAGES, EVIL, 1.0, FIGURE, RowCounts(1, 1, 1, 1), {EVIL: EVIL}, EVIL)
FIGURES = TrafficFigures(1, 1, {EVIL: 1}, 0.1, 0.1, 1.0, 1.0)
TRAFFIC = Traffic(SPANS[0], ((datetime(2026, 3, 1, tzinfo=UTC), FIGURES),), ((EVIL, FIGURES),), FIGURES, EVIL, True)
PAGES: dict[str, dict[str, Any]] = {
    "notice": {"text": EVIL, "tone": "bad", "turn": "1"},
    "header": {"served": SERVED, "why": EVIL, "refused": SimpleNamespace(version=EVIL, reason=EVIL, at=EVIL),
               "trouble": EVIL, "name": EVIL, "track": AGENTS, "links": ((AGENTS, "./"), (MODELS, EVIL))},
    "suspect": {"known": Suspects(EVIL, (SUSPECT,), 1, (EVIL,)), "suspect": SUSPECT,
                "undone": LabelDecision(EVIL, EVIL, EVIL, (EVIL,), EVIL, EVIL)},
    "hints": {"hints": (Hint(EVIL, EVIL, EVIL, EVIL, EVIL, (EVIL,), (EVIL,), EVIL, EVIL, EVIL),)},
    "versions": {"rows": (VersionRow(EVIL, (EVIL,), EVIL, 1, 0.5, (0.4, 0.6), (GATE,), EVIL),), "headline": "quality"},
    "move": {"move": VersionMove(EVIL, EVIL, (GATE,), ""), "kind": "promotion", "reason": EVIL},
    "difference": {"found": DIFF, "texts": {EVIL: EVIL}, "of_agents": True},
    "audit": {"audit": AUDIT, "data": AUDIT.files, "fates": [], "fate": EVIL, "count": 1, "rows": [ROW],
              "texts": {EVIL: EVIL}, "report": "report/x", "of_agents": False},
    "trace": {"found": Trace(EVIL, EVIL, (TracedRow(EVIL, EVIL, EVIL, EVIL, (EVIL,), True, EVIL, ((EVIL, EVIL),)),),
                             EVIL,
                             (EVIL,)), "verdict": EVIL, "of_agents": True},
    "nights": {"found": NightHistory((NIGHT,), 1, EVIL), "links": "report/x", "night": EVIL, "order": (),
               "width": 1, "height": 1, "rows": [(NIGHT, bars([NIGHT])[0])], "charts": figure_charts([NIGHT])},
    "night_now": {"nights": [NIGHT]},
    "traffic": {"traffic": TRAFFIC, "charts": traffic_charts(TRAFFIC), "width": 1, "height": 1, "of_agents": True,
                "small": 0.05},
    "night_plan": {"plan": NightRehearsal({EVIL: True}, True)},
}  # fmt: skip


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("template", PAGES)
def test_markup_in_the_facts_is_text(template: str) -> None:
    found = Elements(draw(template, **PAGES[template]))
    assert not found.names & {"img", "script", "iframe", "object"}
    assert not {name for name in found.attributes if name.startswith("on")}
    assert EVIL in found.text, "shown as it is, neither run nor swallowed"


def test_markup_in_the_name_of_a_candidate_is_text() -> None:
    one = np.ones((1, 1), dtype=np.float32)
    found = Elements(render(HoldoutAnswers((EVIL,), one, one, one, one), EVIL))
    assert not found.names & {"img", "script"}
    assert EVIL in found.text


def test_a_notice_is_one_escaped_line_and_no_two_are_alike() -> None:
    assert '<p class="notice bad" role="alert">&lt;b&gt;</p>' in notice("<b>", "bad")
    assert "notice" not in notice(), "nothing to say"
    assert notice() != notice()


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0%"), (0.0004, "<0.1%"), (0.034, "3.4%"), (0.97, "97%"), (1.0, "100%")]
)
def test_shares(value: float, text: str) -> None:
    assert share(value) == text


def test_amounts() -> None:
    assert [usd(value) for value in (0.0, 0.018, 12.3456)] == ["$0", "$0.018", "$12.3"]
