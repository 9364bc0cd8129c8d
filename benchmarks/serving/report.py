"""The measurements as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import table
from benchmarks.serving.contender import ENGINE_INT8, TORCH
from benchmarks.serving.figures import (
    Aim,
    Spread,
    cache_aim,
    cosine,
    cpu_milliseconds,
    milliseconds,
    rate,
    speed_aims,
    times_faster,
    times_slower,
)
from benchmarks.serving.kept_connection import KeptConnection
from benchmarks.serving.race import Measured, Plan
from benchmarks.serving.startup import Startup


@dataclass(frozen=True)
class Results:
    """One run: on which machine, of what, and everything that was found."""

    machine: str
    served: str
    plan: Plan
    tokens: tuple[float, float]
    found: Sequence[Measured]
    startup: Startup | None
    kept: KeptConnection | None


def markdown(results: Results) -> str:
    """All tables, ready to paste."""
    parts = (
        _setting(results),
        _latency(results),
        _throughput(results),
        _weights(results),
        _start(results),
        _kept(results),
        _aims(results),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def spread(value: Spread | None, digits: int = 2) -> str:
    """`1.20 (1.15 to 1.31)`."""
    if value is None:
        return "–"
    return f"{value.median:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def _setting(results: Results) -> Iterator[str]:
    plan, (middle, share) = results.plan, results.tokens
    yield results.machine
    yield (
        f"{plan.rounds} rounds in which the contenders take turns: {plan.calls} single calls of 18 to 22 tokens, and "
        f"one batch; {plan.prompts} prompts in all batches, of {middle:.0f} tokens on average. {share:.0%} are longer "
        "than the encoder reads at once: the engine and the bare call read those in windows, torch and setfit cut "
        "them. Quantiles are over all calls; ratios are medians of the rounds (least to most of a round)."
    )
    yield f"The version that was measured answers in {results.served}."


def _latency(results: Results) -> Iterator[str]:
    times = "p50 as a multiple of the engine's in int8"
    head = ("one prompt", "threads", "p50 ms", "p95 ms", "p99 ms", times, "CPU ms")
    yield from table(head, (_latency_row(results, one) for one in results.found if one.calls or one.missing))


def _latency_row(results: Results, one: Measured) -> list[str]:
    if one.missing:
        return [one.contender, str(one.threads), one.missing, "", "", "", ""]
    quantiles = [f"{milliseconds(one, quantile):.2f}" for quantile in (0.5, 0.95, 0.99)]
    cpu = cpu_milliseconds(one.calls, sum(len(calls.seconds) for calls in one.calls))
    times = spread(times_slower(one, _ours(results, one)))
    return [one.contender, str(one.threads), *quantiles, times, f"{cpu:.2f}"]


def _throughput(results: Results) -> Iterator[str]:
    head = ("batches", "threads", "prompts a second", "the engine's in int8 as a multiple of it", "CPU ms a prompt")
    yield from table(head, (_throughput_row(results, one) for one in results.found))


def _throughput_row(results: Results, one: Measured) -> list[str]:
    if one.missing:
        return [one.contender, str(one.threads), one.missing, "", ""]
    rates = Spread.of([rate(batch) for batch in one.batches])
    cpu = cpu_milliseconds(one.batches, sum(batch.prompts for batch in one.batches))
    faster = spread(times_faster(_ours(results, one), one))
    return [one.contender, str(one.threads), spread(rates, 0), faster, f"{cpu:.2f}"]


def _weights(results: Results) -> Iterator[str]:
    """That the weights are the same, and which releases ran."""
    head = ("contender", "least cosine to torch's vector of the same prompt", "libraries")
    first = min(one.threads for one in results.found)
    torch = next(one for one in results.found if (one.contender, one.threads) == (TORCH, first))
    rows = []
    for one in results.found:
        if one.threads != first or one.missing:
            continue
        near = cosine(one, torch)
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
        rows.append([one.contender, "–" if near is None else f"{near:.4f}", versions])
    yield from table(head, rows)


def _start(results: Results) -> Iterator[str]:
    if results.startup is None:
        return
    start = results.startup
    rows = [
        ["`switchtender serve` to ready", spread(start.ready)],
        ["`switchtender --help`, the whole process", spread(start.help)],
        ["import of the command line, beyond the interpreter's own start", spread(start.command_line)],
        ["the interpreter's own start", spread(start.python)],
    ]
    yield from table(("start", "seconds, median (least to most)"), rows)


def _kept(results: Results) -> Iterator[str]:
    if results.kept is None:
        return
    kept = results.kept
    rows = [
        ["the engine alone, a new text", spread(kept.engine)],
        ["`POST /v1/route`, the same text", spread(kept.asked)],
        ["`POST /v1/route`, asked before", spread(kept.again)],
        ["`GET /healthz`", spread(kept.health)],
    ]
    yield from table(("one kept connection", "p50 ms, median of the rounds (least to most)"), rows)


def aims(results: Results) -> list[Aim]:
    """Every aim, whether it was reached or not."""
    found = [
        aim for threads in sorted({one.threads for one in results.found}) for aim in speed_aims(results.found, threads)
    ]
    ready = results.startup.ready if results.startup else None
    kept = results.kept
    return [
        *found,
        cache_aim(results.found),
        Aim("`switchtender serve` to ready, seconds", ready, 5, at_most=True),
        Aim("p50 over a kept connection, times the engine's own", kept.times if kept else None, 1.5, at_most=True),
        Aim("first 5 s after ready with the page, times later", kept.first if kept else None, 1.25, at_most=True),
    ]


def _aims(results: Results) -> Iterator[str]:
    rows = []
    for aim in aims(results):
        limit = f"at {'most' if aim.at_most else 'least'} {aim.limit:g}"
        rows.append([aim.what, limit, spread(aim.figure), aim.verdict])
    yield from table(("aim", "limit", "found", "verdict"), rows)


def _ours(results: Results, one: Measured) -> Measured:
    return next(our for our in results.found if (our.contender, our.threads) == (ENGINE_INT8, one.threads))
