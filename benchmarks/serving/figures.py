"""What the measurements say: quantiles, ratios with their spread over rounds, and whether the aims are met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmarks.serving.contender import BARE, ENGINE_INT8, SETFIT, TORCH, TORCH_SORTED
from benchmarks.serving.race import Batch, Calls, Measured

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median over rounds (or repetitions), and the least and the most of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.median(values)), min(values), max(values))


@dataclass(frozen=True)
class Aim:
    """Something to reach: a figure that should be at most, or at least, the limit. None: it could not be measured."""

    what: str
    figure: Spread | None
    limit: float
    at_most: bool = False

    @property
    def verdict(self) -> str:
        if self.figure is None:
            return "not measured"
        reached = self.figure.median <= self.limit if self.at_most else self.figure.median >= self.limit
        return "met" if reached else "missed"


def milliseconds(one: Measured, quantile: float) -> float:
    """A quantile over the calls of all rounds."""
    return 1e3 * float(np.quantile(np.concatenate([calls.seconds for calls in one.calls]), quantile))


def cpu_milliseconds(parts: Sequence[Calls] | Sequence[Batch], prompts: int) -> float:
    """CPU time a prompt, of all threads; other work on the machine hardly changes it."""
    return 1e3 * sum(part.cpu_seconds for part in parts) / prompts


def rate(batch: Batch) -> float:
    """Prompts a second."""
    return batch.prompts / batch.seconds


def times_slower(one: Measured, other: Measured) -> Spread | None:
    """The p50 of one, as a multiple of the other's, round by round."""
    return _ratio(one.calls, other.calls, lambda calls: float(np.median(calls.seconds)), one, other)


def times_faster(one: Measured, other: Measured) -> Spread | None:
    """The throughput of one, as a multiple of the other's, round by round."""
    return _ratio(one.batches, other.batches, rate, one, other)


def _ratio(
    above: Sequence[T], below: Sequence[T], figure: Callable[[T], float], one: Measured, other: Measured
) -> Spread | None:
    if one.missing or other.missing or not above or not below:
        return None
    return Spread.of([figure(a) / figure(b) for a, b in zip(above, below, strict=True)])


def cosine(one: Measured, other: Measured) -> float | None:
    """The least cosine between the vectors that both give the same prompts."""
    if not one.vectors or not other.vectors:
        return None
    left, right = np.array(one.vectors), np.array(other.vectors)
    length = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / length).min())


def speed_aims(found: Sequence[Measured], threads: int) -> Iterator[Aim]:
    """The aims that hold between contenders on so many threads."""
    by_name = {one.contender: one for one in found if one.threads == threads}
    ours, on = by_name[ENGINE_INT8], f"threads: {threads}"
    yield Aim(f"p50 of a prompt, times the bare int8 call; {on}", times_slower(ours, by_name[BARE]), 1.25, at_most=True)
    yield Aim(f"p50 of a prompt, times faster than torch eager; {on}", times_slower(by_name[TORCH], ours), 5)
    yield Aim(f"p50 of a prompt, times faster than setfit; {on}", times_slower(by_name[SETFIT], ours), 4)
    yield Aim(f"batches, times torch eager's throughput; {on}", times_faster(ours, by_name[TORCH]), 2)
    sorted_too = times_faster(ours, by_name[TORCH_SORTED])
    yield Aim(f"batches, times that of torch eager sorted by length; {on}", sorted_too, 2)


def cache_aim(found: Sequence[Measured]) -> Aim:
    """A text met before, in microseconds."""
    one = next(one for one in found if one.contender == ENGINE_INT8)
    values = np.array(one.cached or [np.nan]) * 1e6
    spread = Spread(*(float(np.quantile(values, quantile)) for quantile in (0.5, 0.01, 0.99)))
    return Aim("a cache hit, microseconds (1st to 99th percentile)", spread if one.cached else None, 50, at_most=True)
