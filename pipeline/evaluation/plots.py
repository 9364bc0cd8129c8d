"""The pictures of a holdout, with the rows behind each: how good, how sure, how calibrated, what for what.

The bytes depend on the arguments alone: matplotlib's own defaults and font, the Agg renderer, no date and no
version in the file. Colours are those of Okabe and Ito (2008), told apart by colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.evaluation import plot_data
from pipeline.metrics.multilabel import expected_calibration_error, f1_from_counts
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values
from pipeline.runtime.tables import write_table, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURES = ("per_agent", "precision_recall", "reliability", "cooccurrence")
BLUE, ORANGE, GREEN, INK, GREY, PALE = ("#0072B2", "#D55E00", "#009E73", "#1F2933", "#7B8794", "#E4E7EB")
_DPI = 110
_WIDTH = 10.0
_MOST_NUMBERED = 32
_STYLE: dict[str, str | float | bool] = {
    "font.family": "DejaVu Sans", "font.size": 11.0, "text.color": INK, "axes.edgecolor": GREY,
    "axes.labelcolor": INK, "axes.titlelocation": "left", "axes.titlesize": 12.0, "axes.titleweight": "bold",
    "axes.titlepad": 12.0, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "xtick.color": INK, "ytick.color": INK, "xtick.major.size": 0.0, "ytick.major.size": 0.0,
    "grid.color": PALE, "legend.frameon": False, "figure.facecolor": "white",
}  # fmt: skip


def draw_all(truth: Binary, probability: FloatMatrix, chosen: Binary, names: tuple[str, ...], folder: Path) -> None:
    """Write `<picture>.csv` and `<picture>.png` for each of PICTURES.

    `truth` and `chosen` are bool [n, c], `probability` float32 [n, c] in 0..1, `names` the c agents; n, c >= 1.

    Raises:
        TableError: the folder cannot be written.
    """
    rows = {
        "per_agent": plot_data.per_agent(truth, chosen, names),
        "precision_recall": plot_data.precision_recall(truth, probability),
        "reliability": plot_data.reliability_bins(truth, probability),
        "cooccurrence": plot_data.cooccurrence(truth, chosen, names),
    }
    for name, frame in rows.items():
        write_table(frame, folder / f"{name}.csv")
    error = expected_calibration_error(truth, probability)
    save(folder / "per_agent.png", lambda: draw_per_agent(rows["per_agent"]))
    save(folder / "precision_recall.png", lambda: draw_precision_recall(rows["precision_recall"], truth, chosen))
    save(folder / "reliability.png", lambda: draw_reliability(rows["reliability"], error))
    save(folder / "cooccurrence.png", lambda: draw_cooccurrence(rows["cooccurrence"], names))


def save(path: Path, draw: Callable[[], Figure]) -> None:
    from matplotlib import style

    with style.context(["default", _STYLE]):
        figure = draw()
        write_whole(path, lambda to: figure.savefig(to, format="png", dpi=_DPI, metadata={"Software": None}))


def new_figure(height: float, columns: int = 1, widths: tuple[float, ...] | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of our width on the Agg canvas, without pyplot's global list of figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12, wspace=0.06)  # type: ignore[union-attr,call-arg]
    return figure, list(figure.subplots(1, columns, squeeze=False, width_ratios=widths)[0])


def draw_per_agent(rows: pd.DataFrame) -> Figure:
    """F1 as bars, best first, with marks for precision and recall and the number of prompts that ask for it."""
    figure, (axes,) = new_figure(1.5 + 0.34 * len(rows))
    places = np.arange(len(rows))
    axes.barh(places, rows["f1"], height=0.62, color=BLUE, alpha=0.35, label="F1")
    axes.scatter(
        rows["precision"], places, marker="|", s=130, linewidths=2.6, color=ORANGE, label="precision", zorder=3
    )
    axes.scatter(rows["recall"], places, marker="o", s=34, color=BLUE, label="recall", zorder=3)
    for place, row in enumerate(rows.itertuples()):
        absent = row.support == 0
        axes.text(1.025, place, "–" if absent else f"{row.f1:.2f}", va="center", fontweight="bold")
        note = _note(int(str(row.support)), int(str(row.chosen)))
        axes.text(0.02, place, note, va="center", color=GREY, fontsize=10)
    axes.set_yticks(places, [f"{row.agent}  ({row.support})" for row in rows.itertuples()])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(axis="x")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("F1 of each agent (prompts of the holdout that ask for it)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=3)
    return figure


def _note(support: int, chosen: int) -> str:
    if support and chosen:
        return ""
    absent = "" if support else "not asked for in the holdout"
    never = f"chosen {chosen} times" if chosen else "never chosen"
    return ", ".join(part for part in (absent, never) if part)


def draw_precision_recall(rows: pd.DataFrame, truth: Binary, chosen: Binary) -> Figure:
    """The micro-averaged curve, lines of equal F1, and where the router works."""
    figure, (axes,) = new_figure(6.4)
    _iso_f1(axes)
    if rows.empty:
        axes.text(0.5, 0.5, "no agent is asked for in the holdout", ha="center", color=GREY)
    else:
        axes.plot(rows["recall"], rows["precision"], color=BLUE, linewidth=2.2, label="one threshold for all agents")
        _operating_point(axes, truth, chosen)
        axes.legend(loc="lower left")
    axes.set(xlim=(0, 1.005), ylim=(0, 1.005), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall over all agents")
    return figure


def _iso_f1(axes: Axes) -> None:
    for f1 in (0.2, 0.4, 0.6, 0.8, 0.9):
        recall = np.linspace(f1 / (2 - f1), 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="#CBD2D9", linewidth=1)
        axes.text(1.012, f1 / (2 - f1), f"F1 {f1:g}", color=GREY, fontsize=10, va="center")


def _operating_point(axes: Axes, truth: Binary, chosen: Binary) -> None:
    """The router's own thresholds, one an agent: a point that need not lie on the curve."""
    both, picked, asked = (int((truth & chosen).sum()), int(chosen.sum()), int(truth.sum()))
    precision = both / picked if picked else 0.0
    recall, f1 = both / asked, f1_from_counts(both, picked, asked)
    label = f"the router's thresholds: precision {precision:.2f}, recall {recall:.2f}, F1 {f1:.2f}"
    axes.scatter([recall], [precision], s=110, color=ORANGE, edgecolor="white", linewidth=1.5, zorder=4, label=label)


def draw_reliability(rows: pd.DataFrame, error: float) -> Figure:
    """Left: promised and observed frequency where an agent is likely. Right: the gaps that make up the error."""
    figure, (likely, gaps) = new_figure(5.2, 2, (1.15, 1))
    _diagonal(likely, rows[rows["cells"] == "likely"])
    every = rows[rows["cells"] == "all"]
    gap = every["frequency"] - every["probability"]
    gaps.bar(np.arange(len(every)), gap, width=0.7, color=[BLUE if g >= 0 else ORANGE for g in gap])
    gaps.set_xticks(
        np.arange(len(every)), [_percent(p) for p in every["probability"]], rotation=45, ha="right", fontsize=10
    )
    reach = max(0.05, float(gap.abs().max()) * 1.15)
    gaps.set(ylim=(-reach, reach), xlabel="mean probability of the bin", ylabel="observed minus predicted")
    gaps.axhline(0, color=GREY, linewidth=1)
    gaps.grid(axis="y")
    gaps.spines[["left", "bottom"]].set_visible(False)
    share = f"each about {every['share'].iloc[0]:.0%} of all" if len(every) > 1 else "one bin"
    gaps.set_title(f"Gap in each bin ({share});\ntheir mean is the calibration error {error:.3f}")
    return figure


def _percent(p: float) -> str:
    return f"{p:.0%}" if p >= 0.1 else f"{p:.1%}" if p >= 0.001 else "<0.1%"


def _diagonal(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    low, high = _wilson(rows["frequency"].to_numpy(), rows["count"].to_numpy())
    axes.vlines(rows["probability"], low, high, color=BLUE, linewidth=1.6, alpha=0.5)
    axes.plot(rows["probability"], rows["frequency"], "o-", color=BLUE, markersize=7, linewidth=1.4)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="predicted probability", ylabel="observed frequency")
    axes.grid()
    share = rows["share"].sum()
    note = f"({share:.0%} of all; equally filled bins, 95% intervals)"
    axes.set_title(f"Where an agent has {plot_data.LIKELY:.0%} or more\n{note}")


def _wilson(share: Values, count: Indices) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def draw_cooccurrence(rows: pd.DataFrame, names: tuple[str, ...]) -> Figure:
    """Right choices on the diagonal; off it, which agent was missed where which other was chosen without need."""
    from matplotlib.colors import LinearSegmentedColormap

    labels = [*names, plot_data.NONE]
    wrong, right = _square(rows, "confused", labels), _square(rows, "both", labels)
    figure, (axes,) = new_figure(2.4 + 0.34 * len(labels))
    diagonal = np.eye(len(labels), dtype=bool)
    for values, mask, colour in ((right, ~diagonal, BLUE), (wrong, diagonal, ORANGE)):
        shades = LinearSegmentedColormap.from_list("shades", ["white", colour])
        top = max(1.0, float(values[~mask].max()))
        shown = np.ma.masked_array(values, mask | (values == 0))
        axes.imshow(shown, cmap=shades, vmin=0, vmax=top * 1.6, aspect="auto")
    if len(labels) <= _MOST_NUMBERED:
        _numbers(axes, np.where(diagonal, right, wrong))
    _frame(axes, labels)
    axes.set_title("Right choices (blue), and what was chosen in place of what (orange), in prompts")
    return figure


def _square(rows: pd.DataFrame, column: str, labels: list[str]) -> Values:
    """A column of the pairs as a matrix, 0 where a pair is not listed."""
    matrix = rows.pivot(index="asked", columns="chosen", values=column).reindex(index=labels, columns=labels)
    return matrix.fillna(0).to_numpy(dtype=np.float64)


def _numbers(axes: Axes, values: np.ndarray) -> None:
    for (i, j), value in np.ndenumerate(values):
        if value:
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=10)


def _frame(axes: Axes, labels: list[str]) -> None:
    places = np.arange(len(labels))
    axes.set_xticks(places, [*labels[:-1], "nothing"], rotation=50, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, [*labels[:-1], "nothing"])
    axes.set(xlabel="chosen without need (diagonal: rightly)", ylabel="missed (diagonal: found)")
    axes.set_xticks(places[:-1] + 0.5, minor=True)
    axes.set_yticks(places[:-1] + 0.5, minor=True)
    axes.grid(which="minor", color=PALE, linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
