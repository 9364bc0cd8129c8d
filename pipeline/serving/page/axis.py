"""Axes of the page's charts: round distances between ticks, and where an axis begins and ends."""

from __future__ import annotations

import math


def steps(highest: float, most: float = math.inf) -> tuple[float, float]:
    """A round distance between about five ticks, and the top of an axis that begins at 0."""
    step = _round_step((highest or 1.0) / 5)
    return step, min(step * math.ceil(round((highest or 1.0) * 1.04 / step, 6)), max(most, highest))


def values(step: float, top: float) -> list[float]:
    """The ticks from 0 to the top of an axis."""
    return [step * number for number in range(math.floor(top / step + 1e-9) + 1)]


def between(lowest: float, highest: float) -> list[float]:
    """Ticks at round distances, the first at or below `lowest` and the last at or above `highest`."""
    step = _round_step(max(highest - lowest, 0.01) / 4)
    first, last = math.floor(round(lowest / step, 6)), math.ceil(round(highest / step, 6))
    return [step * number for number in range(first, max(last, first + 1) + 1)]


def digits(step: float) -> int:
    """Decimals that tell two ticks apart."""
    return next(digits for digits in range(10) if abs(round(step, digits) - step) < step * 1e-6)


def _round_step(rough: float) -> float:
    """The next round distance at or above one."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
