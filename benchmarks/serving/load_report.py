"""What the load test found: what has to hold, and the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import table
from benchmarks.serving.client import Asked, Order

GROWTH = 0.05
"""Memory counts as flat if the last quarter's median is at most this much over that of the quarter before."""
REFUSED_CODE = 4


@dataclass(frozen=True)
class Sample:
    """The server at one time (epoch seconds): resident memory in MB, CPU seconds since its start."""

    at: float
    megabytes: float
    cpu_seconds: float


@dataclass(frozen=True)
class Happened:
    """When things were done, and when the service showed it; epoch seconds, None: it never did."""

    promoting: float
    promoted: float
    swapped: float | None
    refusal: int
    pointed: float
    refused: float | None
    reason: str
    rolled_back: float
    well: float | None


@dataclass(frozen=True)
class Marks:
    """By version: what one agent costs and the digest of its provenance; and the cost in the tampered file."""

    versions: Mapping[str, tuple[float, str]]
    tampered: float

    def fault(self, asked: Asked) -> str:
        """What is wrong with an answer; empty where it is by the version that it names."""
        if asked.version != asked.header or asked.version not in self.versions:
            return f"version {asked.version} in the body, {asked.header} in the header"
        cost, provenance = self.versions[asked.version]
        if asked.provenance != provenance:
            return f"not the provenance of version {asked.version}"
        if abs(asked.cost - cost * asked.agents) > 1e-6:
            tampered = abs(asked.cost - self.tampered * asked.agents) <= 1e-6
            return f"{'tampered' if tampered else 'other'} bytes answered as version {asked.version}"
        return ""


@dataclass(frozen=True)
class Load:
    """One run."""

    machine: str
    order: Order
    marks: Marks
    asked: Sequence[Asked]
    happened: Happened
    samples: Sequence[Sample]
    client_cpu: float
    written: int
    ready_after: float

    @property
    def answered(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.status == 200]

    @property
    def begun(self) -> float:
        return min(asked.at for asked in self.asked)

    def quarter(self, number: int) -> list[Sample]:
        """The samples of one quarter of the time, counted from 1."""
        width = self.order.seconds / 4
        first = self.begun + (number - 1) * width
        return [sample for sample in self.samples if first <= sample.at < first + width]


@dataclass(frozen=True)
class Check:
    """Something that has to hold."""

    what: str
    holds: bool
    found: str


def checks(load: Load) -> list[Check]:
    """All of them."""
    return [_none_failed(load), _limited(load), *_versions(load), _written(load), _flat(load)]


def _none_failed(load: Load) -> Check:
    failed = [asked for asked in load.asked if asked.status not in (200, 429)]
    kinds = Counter(f"{asked.status} {asked.error[:80]}".strip() for asked in failed)
    found = "; ".join(f"{count} x {kind}" for kind, count in kinds.most_common(3))
    return Check("no request failed", not failed, found or f"{len(load.answered)} answered")


def _limited(load: Load) -> Check:
    refused = [asked for asked in load.asked if asked.status == 429]
    told = all(asked.retry_after for asked in refused)
    found = f"{len(refused)} while {load.order.more} more connections joined"
    return Check("429 only with Retry-After, and some", told and bool(refused), found)


def _versions(load: Load) -> Iterator[Check]:
    faults = Counter(fault for asked in load.answered if (fault := load.marks.fault(asked)))
    worst = "; ".join(f"{count} x {fault}" for fault, count in faults.most_common(3))
    by = Counter(asked.version for asked in load.answered)
    said = worst or ", ".join(f"version {version}: {count}" for version, count in sorted(by.items()))
    yield Check("every answer is by a verified version, the one it names", not faults, said)
    happened, (first, second) = load.happened, list(load.marks.versions)
    late = [asked for asked in load.answered if happened.swapped and asked.at > happened.swapped + 1]
    swapped = happened.swapped is not None and by[first] > 0 and {asked.version for asked in late} == {second}
    begins = min((asked.at for asked in load.answered if asked.version == second), default=None)
    found = (
        f"{_after(happened.promoting, begins)} of `promote`, which took {happened.promoted - happened.promoting:.1f} s"
    )
    yield Check("the promoted version took over, and stayed", swapped, found)
    yield Check("promote refuses tampered bytes", happened.refusal == REFUSED_CODE, f"exit code {happened.refusal}")
    refused = happened.refused is not None and f"version {first}" in happened.reason
    found = f"{_after(happened.pointed, happened.refused)}: {happened.reason[:90]}"
    yield Check("the service refuses them, and says so", refused, found)
    well = _after(happened.rolled_back, happened.well)
    yield Check("after the rollback nothing is wrong any more", happened.well is not None, well)


def _written(load: Load) -> Check:
    return Check("every answer was written down", load.written == len(load.answered), f"{load.written} decisions")


def _flat(load: Load) -> Check:
    before, last = (float(np.median([s.megabytes for s in load.quarter(number)])) for number in (3, 4))
    found = f"{before:.0f} MB, then {last:.0f} MB ({_slope(load):+.1f} MB a minute)"
    return Check("memory is flat in the second half", last <= before * (1 + GROWTH), found)


def _slope(load: Load) -> float:
    half = [*load.quarter(3), *load.quarter(4)]
    return 60 * float(np.polyfit([s.at - half[0].at for s in half], [s.megabytes for s in half], 1)[0])


def _after(cause: float, effect: float | None) -> str:
    return "never" if effect is None else f"after {effect - cause:.1f} s"


def markdown(load: Load) -> str:
    """All tables, ready to paste."""
    order = load.order
    setting = (
        f"{order.connections} connections for {order.seconds:.0f} s, one prompt a request, one in four asked before; "
        f"{order.more} more for {order.burst[1] - order.burst[0]:.0f} s. Client, server and every command of the test "
        "share the machine's cores."
    )
    verdicts = [[check.what, "holds" if check.holds else "DOES NOT HOLD", check.found] for check in checks(load)]
    parts = (_figures(load), _phases(load), table(("what has to hold", "verdict", "found"), verdicts))
    return "\n".join([load.machine, setting, "", *(line for part in parts for line in (*part, ""))])


def _figures(load: Load) -> Iterator[str]:
    seconds = load.samples[-1].at - load.samples[0].at
    server = (load.samples[-1].cpu_seconds - load.samples[0].cpu_seconds) / seconds
    memory = [f"{float(np.median([s.megabytes for s in load.quarter(n)])):.0f}" for n in (1, 2, 3, 4)]
    quiet = sum(asked.at < load.begun + load.order.seconds / 4 for asked in load.answered)
    rows = [
        ["answers a second, the whole time", f"{len(load.answered) / load.order.seconds:.0f}"],
        ["answers a second, first quarter", f"{quiet / (load.order.seconds / 4):.0f}"],
        ["a registered version to ready, verified", f"{load.ready_after:.2f} s"],
        ["cores that the server and the client kept busy", f"{server:.2f} and {load.client_cpu / seconds:.2f}"],
        ["resident memory of the server, median of each quarter", f"{', '.join(memory)} MB"],
    ]
    yield from table(("what", "figure"), rows)


def _phases(load: Load) -> Iterator[str]:
    happened, begun, quarter = load.happened, load.begun, load.order.seconds / 4
    end_of_swap = happened.swapped or happened.promoted
    phases: dict[str, Callable[[float], bool]] = {
        "the whole time": lambda at: True,
        "first quarter": lambda at: at < begun + quarter,
        "while `promote` ran and the version changed": lambda at: happened.promoting <= at < end_of_swap,
        "from the tampering to its refusal": lambda at: begun + 2 * quarter <= at < (happened.refused or at),
        "while more connections joined": lambda at: load.order.burst[0] <= at - begun < load.order.burst[1],
    }
    rows = [_phase(name, [a.seconds for a in load.answered if holds(a.at)]) for name, holds in phases.items()]
    yield from table(("milliseconds of an answered request", "requests", "p50", "p95", "p99", "longest"), rows)


def _phase(name: str, seconds: Sequence[float]) -> list[str]:
    if not seconds:
        return [name, "0", "–", "–", "–", "–"]
    return [name, str(len(seconds)), *(f"{1e3 * float(np.quantile(seconds, q)):.0f}" for q in (0.5, 0.95, 0.99, 1.0))]
