"""The tab Traffic: every column and line lies in its drawing, and shows what was counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.serving.engine.traffic import SPANS, Traffic, TrafficCounts
from pipeline.serving.page.tabs.traffic import render
from pipeline.serving.page.traffic_charts import HEIGHT, LEFT, NAMED, OTHERS, RIGHT, TOP, WIDTH, traffic_charts

NOW = datetime(2024, 3, 10, 14, 20, tzinfo=UTC)


def counted(*entries: tuple[float, str, list[str]], span: Any = SPANS[0]) -> Traffic:
    counts = TrafficCounts()
    counts.add(
        {"at": (NOW - timedelta(hours=ago)).isoformat(), "index": 0, "version": version, "chosen": chosen,
         "below_threshold": False, "margin": 0.01, "milliseconds": 12.0}
        for ago, version, chosen in entries
    )  # fmt: skip
    return counts.traffic(span, NOW)


@pytest.mark.parametrize("span", SPANS, ids=lambda span: span.name)
def test_everything_lies_inside_its_drawing(span: Any) -> None:
    names = [f"agent {number}" for number in range(NAMED + 3)]
    traffic = counted(*((hour, "1", names[: hour % 9 + 1]) for hour in range(0, 700, 3)), (0.1, "2", names), span=span)
    requests, chosen, times, shares = traffic_charts(traffic)
    assert chosen.series == (*names[:NAMED], OTHERS)
    for column in (*requests.columns, *chosen.columns):
        assert LEFT <= column.x <= column.x + column.width <= WIDTH - RIGHT + 1
        assert TOP - 1 <= column.y <= column.y + column.height <= HEIGHT
    points = [point.split(",") for chart in (times, shares) for _, line in chart.lines for point in line.split()]
    assert points
    assert all(LEFT <= float(x) <= WIDTH - RIGHT and TOP - 1 <= float(y) <= HEIGHT for x, y in points)
    assert [text for _, text in shares.y_ticks][-1] == "100%"


def test_columns_stand_on_each_other_and_a_line_ends_where_nothing_was() -> None:
    traffic = counted((0.1, "1", ["sql"]), (0.1, "1", ["email"]), (5, "1", ["sql"]))
    _, chosen, times, _ = traffic_charts(traffic)
    (below, above) = [column for column in chosen.columns if column.x == max(one.x for one in chosen.columns)]
    assert below.y == pytest.approx(above.y + above.height)
    assert below.told == "sql, 2024-03-10 14:00: 1"
    assert len([line for line in times.lines if line[0] == 0]) == 2, "two stretches"


def test_what_is_shown_is_what_was_counted() -> None:
    html = render(counted((0.1, "4", ["sql"]), (2, "3", ["email"]), (2, "3", ["email"])), of_agents=True)
    assert "together" in html
    assert "Agents chosen" in html
    assert "67%" in html, "email: two of three"
    assert "Models chosen" in render(counted((0.1, "4", ["small"])), of_agents=False)
    assert "Nothing was routed in the last 24 hours" in render(counted(), of_agents=True)
