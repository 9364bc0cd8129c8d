"""Charts of traffic, in the units of their drawing: columns step by step, one on another, and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.serving.engine.traffic import HOUR, Traffic
from pipeline.serving.page.axis import digits, steps, values

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 30
NAMED = 7
"""So many candidates have a colour of their own; the others share one."""
OTHERS = "others"
_LABELS = 5


@dataclass(frozen=True)
class Column:
    """A part of a column: which series (by number, for its colour), its place, and what it tells."""

    series: int
    x: float
    y: float
    width: float
    height: float
    told: str


@dataclass(frozen=True)
class TrafficChart:
    """A drawing and its words; `lines` are (series, points), a line ends where nothing was recorded."""

    name: str
    series: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[tuple[int, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def traffic_charts(traffic: Traffic) -> list[TrafficChart]:
    """Requests, time to a decision, candidates chosen, and shares in doubt."""
    found = [figures for _, figures in traffic.steps]
    named = [name for name, _ in Counter(traffic.together.chosen).most_common(NAMED)]
    chosen = {name: [one.chosen.get(name, 0) for one in found] for name in named}
    if len(traffic.together.chosen) > len(named):
        chosen[OTHERS] = [sum(one.chosen.values()) - sum(one.chosen.get(name, 0) for name in named) for one in found]
    return [
        _columns(traffic, "requests", {"requests": [one.requests for one in found]}),
        _columns(traffic, "times chosen", chosen),
        _lines(traffic, "milliseconds to a decision", {
            "half took less": [one.median_ms for one in found], "95 % took less": [one.slow_ms for one in found],
        }),
        _lines(traffic, "share of prompts", {
            "none reaches its threshold": [one.below_threshold for one in found],
            "small margin": [one.small_margin for one in found],
        }, shares=True),
    ]  # fmt: skip


class _Frame:
    """Where steps and values lie; the values begin at 0."""

    def __init__(self, traffic: Traffic, highest: float, shares: bool = False) -> None:
        self.traffic, self.shares = traffic, shares
        self.step, self.top = steps(highest, 1.0) if shares else steps(highest)
        self.width = (WIDTH - LEFT - RIGHT) / len(traffic.steps)

    def x(self, number: float) -> float:
        return round(LEFT + self.width * number, 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top, 1)

    def x_ticks(self) -> tuple[tuple[float, str], ...]:
        form = "%H:%M" if self.traffic.span.step <= HOUR else "%m-%d"
        every = -(-len(self.traffic.steps) // _LABELS)
        found = list(enumerate(at for at, _ in self.traffic.steps))[::every]
        return tuple((self.x(number + 0.5), at.strftime(form)) for number, at in found)

    def y_ticks(self) -> tuple[tuple[float, str], ...]:
        places = digits(self.step * (100 if self.shares else 1))
        form = f".{places}%" if self.shares else f",.{places}f"
        return tuple((self.y(value), format(value, form)) for value in values(self.step, self.top))

    def when(self, number: int) -> str:
        return self.traffic.steps[number][0].strftime("%Y-%m-%d %H:%M")


def _columns(traffic: Traffic, name: str, series: dict[str, list[int]]) -> TrafficChart:
    totals = [sum(step) for step in zip(*series.values(), strict=True)]
    frame = _Frame(traffic, max(totals, default=0) or 1)
    found, under = [], [0] * len(traffic.steps)
    for number, (title, counts) in enumerate(series.items()):
        for at, count in enumerate(counts):
            if count:
                low, high = frame.y(under[at]), frame.y(under[at] + count)
                told = f"{title}, {frame.when(at)}: {count:,}"
                found.append(Column(number, frame.x(at + 0.1), high, frame.width * 0.8, round(low - high, 1), told))
                under[at] += count
    return TrafficChart(name, tuple(series), tuple(found), (), frame.x_ticks(), frame.y_ticks())


def _lines(traffic: Traffic, name: str, series: dict[str, list[float | None]], shares: bool = False) -> TrafficChart:
    highest = max((value for found in series.values() for value in found if value is not None), default=0)
    frame = _Frame(traffic, highest or (0.1 if shares else 1), shares)
    lines = [(number, points) for number, found in enumerate(series.values()) for points in _pieces(frame, found)]
    return TrafficChart(name, tuple(series), (), tuple(lines), frame.x_ticks(), frame.y_ticks())


def _pieces(frame: _Frame, found: Sequence[float | None]) -> list[str]:
    """A polyline for each stretch that has values; a single one is a short dash."""
    pieces: list[list[str]] = [[]]
    for number, value in enumerate(found):
        if value is None:
            pieces.append([])
            continue
        pieces[-1].append(f"{frame.x(number + 0.5)},{frame.y(value)}")
    single = frame.width * 0.3
    return [
        " ".join(piece) if len(piece) > 1 else f"{_moved(piece[0], -single)} {_moved(piece[0], single)}"
        for piece in pieces
        if piece
    ]


def _moved(point: str, by: float) -> str:
    x, y = point.split(",")
    return f"{round(float(x) + by, 1)},{y}"
