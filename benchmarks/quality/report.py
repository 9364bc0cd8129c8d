"""The tables of docs/results/quality.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import table as markdown_table
from benchmarks.quality.contenders import Contender, Plan
from benchmarks.quality.measurements import Measurements
from benchmarks.quality.results import Result, result
from benchmarks.quality.scores import MACRO, MICRO, RARE_F1, RARE_RECALL, SUBSET, Drawn, drawn, share_of
from benchmarks.quality.tables import RARE_BELOW, Table
from benchmarks.serving.race import ROOT
from pipeline.metrics.bootstrap import Estimate
from pipeline.runtime.arrays import Indices

PAGE = ROOT / "docs" / "results" / "quality.md"
Line = list[str]
Row = tuple[Contender, Result | str]
SCORES = (MICRO, MACRO, SUBSET, RARE_F1, RARE_RECALL)
DIFFERENCES = (MICRO, MACRO, SUBSET, RARE_F1)
_NONE = "–"
_FEW_SEEDS = {1: " (one seed)", 2: " (two seeds)"}


@dataclass(frozen=True)
class Page:
    """What the tables are made of; `absent` says of a contender or table why it was not measured."""

    known: Measurements
    tables: Sequence[Table]
    plan: Plan
    seeds: int
    absent: Mapping[str, str]

    def rows(self, table: Table, contenders: Iterator[Contender], seeds: int) -> list[Row]:
        """Those who are measured on the table, each with its result or why there is none."""
        return [
            (each, result(self.known, table, each, seeds) or self._why_not(table, each))
            for each in contenders
            if each.is_measured_on(table.name)
        ]

    def _why_not(self, table: Table, contender: Contender) -> str:
        return self.absent.get(f"{contender.name} {table.name}") or self.absent.get(contender.name, "not measured")

    def sections(self) -> dict[str, list[str]]:
        """Lines by the name of the comment that they stand under."""
        makers = {
            "systems": self._systems, "rare agents": self._rare_agents, "ablations": self._ablations,
            "encoders": self._encoders, "robustness": self._robustness,
        }  # fmt: skip
        return {name: list(make()) for name, make in makers.items()}

    def _systems(self) -> Iterator[str]:
        waiting = []
        for table in self.tables:
            rows = self.rows(table, self.plan.own(), self.seeds) + self.rows(table, self.plan.peers(), self.seeds)
            if any(isinstance(found, Result) for _, found in rows):
                yield from ("", f"### {table.name}: {table.described}", "")
                yield from _compared(table, rows)
            else:
                waiting.append(f"`{table.name}`")
        if waiting:
            yield from ("", f"Not measured yet: {', '.join(waiting)}.")
        for name, why in self.absent.items():
            if name.startswith("table "):
                yield from ("", f"### {name.removeprefix('table ')}: {why}")

    def _ablations(self) -> Iterator[str]:
        yield from self._beside_the_defaults("one change", self.plan.ablations)

    def _encoders(self) -> Iterator[str]:
        yield from self._beside_the_defaults("encoder", self.plan.encoders)

    def _beside_the_defaults(self, what: str, contenders: Callable[[], Iterator[Contender]]) -> Iterator[str]:
        """Differences to the same system at its defaults, a row a variant and table, seed 0 alone."""
        lines = []
        for table in self.tables:
            base = {each.system: found for each, found in self.rows(table, self.plan.own(), 1)}
            rows = self.rows(table, contenders(), 1)
            if any(isinstance(found, Result) for _, found in rows):
                lines += [
                    [table.name, each.name, *_differences(table, found, base[each.system])] for each, found in rows
                ]
        if lines:
            yield from markdown_table(("table", f"{what}, minus the defaults", *DIFFERENCES), lines)
        else:
            yield "Not measured yet."

    def _rare_agents(self) -> Iterator[str]:
        head = ("table", "agent", "train", "test", "recall", "F1", "expected labels a prompt", "true labels a prompt")
        yield from markdown_table(head, (line for table in self.tables for line in self._rare_of(table)))

    def _rare_of(self, table: Table) -> Iterator[Line]:
        (_, found), *_ = self.rows(table, self.plan.own(), self.seeds)
        if isinstance(found, str) or not len(table.rare):
            return
        if 2 * len(table.rare) > len(table.agents):
            yield [
                table.name,
                f"all {len(table.rare)} of fewer than {RARE_BELOW} prompts",
                *_agents(table, found, table.rare),
            ]
            return
        for column in table.rare:
            yield [table.name, f"`{table.agents[column]}`", *_agents(table, found, np.array([column]))]

    def _robustness(self) -> Iterator[str]:
        lines, kinds = [], list[str]()
        for table in self.tables:
            for each, found in self.rows(table, self.plan.own(), 1):
                if isinstance(found, Result) and found.moved:
                    kinds = list(found.moved)
                    shares = (share_of(found.moved[kind], len(table.truth)) for kind in kinds)
                    lines.append([table.name, each.name, *(with_interval(share) for share in shares)])
        yield from markdown_table(("table", "choices moved by", *kinds), lines)


def _compared(table: Table, rows: Sequence[Row]) -> Iterator[str]:
    """All figures of each, then what the first exceeds the others by."""
    scored = {each.name: found.figures(table) for each, found in rows if isinstance(found, Result)}
    head = ("system", *SCORES, "probability over labels", "CPU s")
    yield from markdown_table(head, (_line(table, each.name, found, scored.get(each.name, {})) for each, found in rows))
    ours, *others = (each.name for each, _ in rows)
    if ours in scored and (others := [name for name in others if name in scored]):
        yield ""
        lines = ([name, *minus(scored[ours], scored[name], DIFFERENCES)] for name in others)
        yield from markdown_table((f"{ours} minus", *DIFFERENCES), lines)


def _line(table: Table, name: str, found: Result | str, scored: Mapping[str, Drawn]) -> Line:
    if isinstance(found, str):
        return [name, found, *([""] * (len(SCORES) + 1))]
    scores = (with_interval(scored[each].share(len(table.truth))) if each in scored else _NONE for each in SCORES)
    seeds = _FEW_SEEDS.get(len(found.chosen), "")
    return [name + seeds, *scores, _known(found.expected_over_true(table), 2), _known(found.cpu_seconds, 0)]


def _differences(table: Table, found: Result | str, base: Result | str) -> Line:
    if isinstance(found, str) or isinstance(base, str):
        return [found if isinstance(found, str) else "defaults not measured", *([""] * (len(DIFFERENCES) - 1))]
    return minus(found.figures(table), base.figures(table), DIFFERENCES)


def minus(ours: Mapping[str, Drawn], theirs: Mapping[str, Drawn], names: Sequence[str]) -> Line:
    return [plus_minus((ours[each] - theirs[each]).estimate()) if each in ours else _NONE for each in names]


def _agents(table: Table, found: Result, columns: Indices) -> Line:
    """Counts, recall, F1 with its interval, and whether the probability means what it says."""
    of = drawn(
        table.truth,
        found.chosen,
        {
            "recall": lambda sums: sums.of_agents(columns).recall(),
            "f1": lambda sums: sums.of_agents(columns).macro_f1(),
        },
    )
    asked = int(table.truth[:, columns].sum())
    counts = (int(table.learnt[columns].sum()), asked)
    expected = np.mean([each[columns].sum() for each in found.expected]) if found.expected else np.nan
    share = asked / len(table.truth)
    figures = (with_interval(of["recall"].share(asked)), with_interval(of["f1"].share(asked)))
    return [*map(str, counts), *figures, f"{expected:.4f}", f"{share:.4f}"]


def with_interval(found: Estimate) -> str:
    """`.778 (.741 to .812)`."""
    return f"{_short(found.value)} ({_short(found.low)} to {_short(found.high)})"


def _known(value: float, digits: int) -> str:
    return _NONE if np.isnan(value) else f"{value:.{digits}f}"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def plus_minus(found: Estimate) -> str:
    return f"{_plus(found.value)} ({_plus(found.low)} to {_plus(found.high)})"


def _plus(value: float) -> str:
    """`+.013`."""
    return f"{value:+.3f}".replace("0.", ".", 1)
