"""The pictures of an evaluation on graded outcomes, with the rows behind each: quality for cost, and by slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.evaluation.outcome_facts import OutcomeReport, StrategyFigures, Swept
from pipeline.evaluation.plots import BLUE, GREEN, GREY, INK, ORANGE, new_figure, save
from pipeline.evaluation.reference_strategies import BEST_PER_DATASET, BEST_SINGLE, ORACLE, RANDOM
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.runtime.tables import write_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTCOME_PICTURES = COST_QUALITY, SLICES = ("cost_quality", "slices")
SINGLE_CANDIDATES = "single_candidates"
_POINT, _FRONT = "point", "front"
_LOG_ABOVE, _DECADES_ABOVE = 20.0, 1000.0
_NAMES = {
    ROUTER: "router",
    SINGLE_CANDIDATES: "one candidate, or a mixture of two",
    BEST_PER_DATASET: "told the data set's name",
    RANDOM: "random",
    ORACLE: "oracle",
}


@dataclass(frozen=True)
class _Line:
    """How a frontier is drawn."""

    colour: str
    width: float
    dashes: tuple[float, ...] = ()


_LINES = {
    ROUTER: _Line(BLUE, 2.4),
    SINGLE_CANDIDATES: _Line(GREY, 1.6, (4, 3)),
    BEST_PER_DATASET: _Line(GREEN, 1.4),
}
_OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw_outcomes(report: OutcomeReport, folder: Path) -> tuple[Path, ...]:
    """Write a `.csv` and a `.png` for each picture; the one of costs only where costs are known. The PNGs' paths.

    Raises:
        TableError: the folder cannot be written.
    """
    drawn = []
    if report.swept is not None:
        rows = cost_quality_rows(report.swept, report.metrics)
        write_table(rows, folder / f"{COST_QUALITY}.csv")
        save(folder / f"{COST_QUALITY}.png", lambda: draw_cost_quality(rows))
        drawn.append(folder / f"{COST_QUALITY}.png")
    slices = slice_rows(report)
    if len(slices):
        write_table(slices, folder / f"{SLICES}.csv")
        save(folder / f"{SLICES}.png", lambda: draw_slices(slices))
        drawn.append(folder / f"{SLICES}.png")
    return tuple(drawn)


def cost_quality_rows(swept: Swept, metrics: Mapping[str, StrategyFigures]) -> pd.DataFrame:
    """A row a point: series, kind (point or front), name, cost_usd (a prompt, mean), quality."""
    points = [("candidate", _POINT, one.candidate, one.cost_usd, one.quality) for one in swept.candidates]
    points += [
        (name, _POINT, name, metrics[name].cost_usd.value, metrics[name].quality.value)
        for name in (ROUTER, RANDOM, ORACLE)
    ]
    points += [
        (name, _FRONT, name, point.cost_usd, point.quality)
        for name, row in swept.rows.items()
        if name != ORACLE
        for point in row.frontier
    ]
    return pd.DataFrame(points, columns=["series", "kind", "name", "cost_usd", "quality"])


def draw_cost_quality(rows: pd.DataFrame) -> Figure:
    """Frontiers over the cost, the candidates (those that none beats at their cost by name), and the stored policy."""
    figure, (axes,) = new_figure(6.6)
    others = iter(_OTHERS * len(rows))
    cost = rows["cost_usd"].dropna()
    if cost.min() > 0 and cost.max() / cost.min() > _LOG_ABOVE:
        _logarithmic(axes, cost.max() / cost.min())
    fronts = rows[rows["kind"] == _FRONT]
    for name in [SINGLE_CANDIDATES, *(n for n in fronts["series"].unique() if n != SINGLE_CANDIDATES)]:
        line = _LINES.get(str(name)) or _Line(next(others), 1.2)
        _front(axes, fronts[fronts["series"] == name], str(name), line)
    _candidates(axes, rows[rows["series"] == "candidate"].dropna())
    _marks(axes, rows[rows["kind"] == _POINT])
    axes.set(xlabel="USD a prompt, mean", ylabel="quality, mean")
    axes.grid()
    axes.set_title("Quality for cost; lines are swept on these prompts, which flatters them")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _logarithmic(axes: Axes, span: float) -> None:
    """Dollars in plain figures, no more of them than there is room for."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < _DECADES_ABOVE else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda usd, _: f"{usd:.9f}".rstrip("0").rstrip("."))


def _front(axes: Axes, rows: pd.DataFrame, name: str, line: _Line) -> None:
    """A frontier, drawn densely: between two of its points it is a mixture, which bends on a logarithmic axis."""
    cost, quality = rows["cost_usd"].to_numpy(), rows["quality"].to_numpy()
    dense = np.unique(np.concatenate([np.linspace(a, b, 40) for a, b in pairwise(cost)] or [cost]))
    axes.plot(
        dense,
        np.interp(dense, cost, quality),
        label=_NAMES.get(name, name),
        color=line.colour,
        linewidth=line.width,
        linestyle=(0, line.dashes) if line.dashes else "-",
    )


def _candidates(axes: Axes, rows: pd.DataFrame) -> None:
    """Those on the Pareto front dark and by name, those that another beats at no more cost pale."""
    for row in rows.to_dict("records"):
        not_dearer = rows[rows["cost_usd"] <= row["cost_usd"]]
        beaten = bool(
            ((not_dearer["quality"] > row["quality"])
             | ((not_dearer["quality"] == row["quality"]) & (not_dearer["cost_usd"] < row["cost_usd"]))).any()
        )  # fmt: skip
        axes.scatter([row["cost_usd"]], [row["quality"]], s=34, color=GREY if beaten else INK, zorder=3)
        if not beaten:
            axes.annotate(
                str(row["name"]).rsplit("/", 1)[-1],
                (row["cost_usd"], row["quality"]),
                xytext=(-5, 5) if row["cost_usd"] > rows["cost_usd"].min() else (5, -13),
                textcoords="offset points",
                ha="right" if row["cost_usd"] > rows["cost_usd"].min() else "left",
                fontsize=10,
            )


def _marks(axes: Axes, rows: pd.DataFrame) -> None:
    """The router's stored policy, random choice and the oracle."""
    marks = {
        ROUTER: ("o", ORANGE, 110, "the router's stored policy"),
        RANDOM: ("x", GREY, 60, "random"),
        ORACLE: ("*", GREEN, 150, "oracle"),
    }
    for name, (marker, colour, size, label) in marks.items():
        row = rows[rows["series"] == name]
        axes.scatter(row["cost_usd"], row["quality"], marker=marker, s=size, color=colour, label=label, zorder=4)


def slice_rows(report: OutcomeReport) -> pd.DataFrame:
    """A row a slice: kind, name, prompts, router, best_single, oracle, difference, low, high."""
    rows = [
        {
            "kind": part.kind,
            "name": part.name,
            "prompts": part.prompts,
            **{name: part.quality[name] for name in (ROUTER, BEST_SINGLE, ORACLE)},
            "difference": part.router_minus_best_single.value,
            "low": part.router_minus_best_single.low,
            "high": part.router_minus_best_single.high,
        }
        for part in [*report.datasets, *report.slices]
    ]
    return pd.DataFrame(rows)


def draw_slices(rows: pd.DataFrame) -> Figure:
    """The router's quality as bars, with marks for the best single candidate and the oracle, and the difference."""
    figure, (axes,) = new_figure(1.7 + 0.4 * len(rows))
    places = np.arange(len(rows))
    axes.barh(places, rows[ROUTER].fillna(0), height=0.62, color=BLUE, alpha=0.35, label="router")
    for name, colour, label in ((BEST_SINGLE, ORANGE, "best single candidate"), (ORACLE, GREEN, "oracle")):
        axes.scatter(rows[name], places, marker="|", s=190, linewidths=2.6, color=colour, label=label, zorder=3)
    for place, row in enumerate(rows.to_dict("records")):
        axes.text(1.03, place, _difference(row), va="center")
    axes.set_yticks(places, [f"{row['name']}  ({row['prompts']})" for row in rows.to_dict("records")])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.32)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("Quality by slice (prompts); right: router minus best single candidate, 95 %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3)
    return figure


def _difference(row: Mapping[Hashable, float]) -> str:
    """A difference with its interval as text, a dash where it is not known."""
    if np.isnan(row["difference"]):
        return "–"
    return f"{row['difference']:+.3f}  ({row['low']:+.3f} to {row['high']:+.3f})"
