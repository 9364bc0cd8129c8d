"""Charts of nights, in the units of their drawing: stages as parts of a bar, and a figure over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reports.night_history import NightRow, StageTime
from pipeline.runtime.track import TRACKS
from pipeline.serving.page.axis import between, digits

WIDTH, HEIGHT = 560, 210
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 20, 30
_INSET = 34
_LABELS = 4
_BAR = 100.0


@dataclass(frozen=True)
class BarPart:
    """A stage in a bar whose longest is 100 wide."""

    stage: StageTime
    x: float
    width: float


@dataclass(frozen=True)
class NightMark:
    """A night at its place, with where its interval ends."""

    night: NightRow
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class FigureChart:
    """A track's headline figure on the holdout, night by night; ticks are (place, text)."""

    track: str
    headline: str
    line: str
    marks: tuple[NightMark, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def bars(nights: Sequence[NightRow]) -> list[tuple[BarPart, ...]]:
    """For each night its stages one after the other, all on one scale."""
    longest = max((night.seconds for night in nights), default=0.0) or 1.0
    return [_parts(night.stages, _BAR / longest) for night in nights]


def _parts(stages: Sequence[StageTime], scale: float) -> tuple[BarPart, ...]:
    found, at = [], 0.0
    for stage in stages:
        width = stage.seconds * scale
        found.append(BarPart(stage, round(at, 2), round(width, 2)))
        at += width
    return tuple(found)


def figure_charts(nights: Sequence[NightRow]) -> list[FigureChart]:
    """A chart for each track that measured something, the oldest night on the left."""
    measured = {name: [one for one in reversed(nights) if one.track == name and one.figure] for name in TRACKS}
    return [_chart(name, found) for name, found in measured.items() if found]


def _chart(track: str, nights: Sequence[NightRow]) -> FigureChart:
    figures = [night.figure for night in nights if night.figure]
    ticks = between(min(one.low for one in figures), max(one.high for one in figures))
    places = digits(ticks[1] - ticks[0])

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    def x(number: int) -> float:
        # A single night stands in the middle.
        share = number / (len(nights) - 1) if len(nights) > 1 else 0.5
        return round(LEFT + _INSET + (WIDTH - LEFT - RIGHT - 2 * _INSET) * share, 1)

    marks = tuple(
        NightMark(night, x(number), y(one.value), y(one.low), y(one.high))
        for number, (night, one) in enumerate(zip(nights, figures, strict=True))
    )
    every = max(1, -(-len(marks) // _LABELS))
    return FigureChart(
        track=track,
        headline=TRACKS[track].headline,
        line=" ".join(f"{mark.x},{mark.y}" for mark in marks),
        marks=marks,
        x_ticks=tuple((mark.x, mark.night.started[:10]) for mark in marks[::-1][::every]),
        y_ticks=tuple((y(value), f"{value:.{places}f}") for value in ticks),
    )
