"""Reports of an evaluation as tables that fit a terminal; --json has every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.recommendation_text import short, spread, usd
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import plain
from pipeline.runtime.text import counted
from switchtender.show import print_json, print_table, say, size_of

if TYPE_CHECKING:
    from pipeline.evaluation.outcome_facts import OutcomeReport, Swept
    from pipeline.evaluation.scoring import LabelScores

_NAMES = {
    "best_single": "best single",
    "best_per_dataset": "told data set",
    "single_candidates": "best single",
}
_MOST_SLICES = 24


@dataclass(frozen=True)
class Crossvalidated:
    """Which system made the predictions, and over how many folds."""

    router: str
    folds: int


def show_labels(scores: LabelScores, as_json: bool, made: Crossvalidated | None = None) -> None:
    """The scores on a table of labels: metrics, and precision and recall of each candidate."""
    if as_json:
        print_json({**(plain(made) or {}), **plain(scores)})
        return
    title = size_of(scores.prompts, scores.candidates)
    figures = [[name, found.value, found.low, found.high] for name, found in scores.metrics.items()]
    print_table(title, ["metric", "value", "95 % from", "to"], figures)
    rows = [[one.candidate, one.precision, one.recall, one.f1, one.support] for one in scores.per_candidate]
    print_table("by candidate", ["candidate", "precision", "recall", "F1", "support"], rows)


def refuse_for_labels(**given: Path | None) -> None:
    """Raises InputError for an option that serves graded outcomes only."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} is for tables with candidate and quality, not with agents; leave it out")


def show_outcomes(
    report: OutcomeReport,
    fitted: Sequence[str],
    pictures: Path | None,
    as_json: bool,
    made: Crossvalidated | None = None,
) -> None:
    """The report on graded outcomes, beside baselines that were `fitted`; its plots go into the folder `pictures`."""
    from pipeline.evaluation.cost_quality_plots import draw_outcomes
    from pipeline.evaluation.reference_strategies import LEARNT

    left_out = [name for name in LEARNT if name not in (*fitted, made.router if made else "")]
    drawn = draw_outcomes(report, pictures) if pictures else ()
    if as_json:
        files = [str(path) for path in drawn]
        print_json({**(plain(made) or {}), **plain(report), "baselines_left_out": left_out, "pictures": files})
        return
    _strategies(report, f"router: {made.router}" if made else ROUTER)
    if report.swept:
        _for_cost(report.swept)
    _slices(report)
    for line in (*_facts(report), *_notes(report, left_out), *(f"picture: {path}" for path in drawn)):
        say(line)


def _strategies(report: OutcomeReport, router: str) -> None:
    """Each strategy's quality and cost; `router` is how the router's row is headed."""
    over_datasets = any(row.quality_over_datasets for row in report.metrics.values())
    differ = any(row.untried for row in report.metrics.values())
    columns = ["", "quality, 95 %", *(["by set"] if over_datasets else []), *(["on"] if differ else [])]
    columns += ["USD", "router minus it, 95 %"]
    rows = [
        [
            router if name == ROUTER else _NAMES.get(name, name),
            estimate_range(row.quality),
            *([_value(row.quality_over_datasets)] if over_datasets else []),
            *([row.prompts] if differ else []),
            cost(row.cost_usd.value),
            estimate_range(row.router_minus_this) if row.router_minus_this.is_known else "",
        ]
        for name, row in report.metrics.items()
    ]
    title = f"{size_of(report.prompts, report.candidates)}; best single: {report.best_single}"
    print_table(title, columns, rows)


def _for_cost(swept: Swept) -> None:
    columns = ["", "AIQ", f"at {usd(swept.half_of_best_single)}", "USD to match best single"]
    rows = [
        [
            _NAMES.get(name, name),
            plain(row.aiq),
            plain(row.quality_at_half_of_best_single),
            cost(row.cost_to_match_best_single),
        ]
        for name, row in swept.rows.items()
    ]
    print_table(f"quality for cost, {swept.label}", columns, rows)
    point = swept.operating_point
    say(f"the router {point.label}: quality {_number(point.quality)} at {usd(point.cost_usd)} a prompt")


def _slices(report: OutcomeReport) -> None:
    rows = [
        [
            part.name,
            part.prompts,
            *(plain(part.quality[name]) for name in (ROUTER, "best_single", "oracle")),
            estimate_range(part.router_minus_best_single),
        ]
        for part in [*report.datasets, *report.slices]
    ]
    if rows:
        columns = ["slice", "prompts", "router", "single", "oracle", "router minus single"]
        print_table("by slice", columns, rows[:_MOST_SLICES])
    if len(rows) > _MOST_SLICES:
        say(f"{len(rows) - _MOST_SLICES} more slices: --json")


def _facts(report: OutcomeReport) -> list[str]:
    """In a line each: the gap closed, calibration, acceptance, and a weak beside a strong candidate."""
    router, pair = report.metrics[ROUTER], report.pair
    lines = [f"gap between best single and oracle closed by the router: {spread(router.gap_closed)}"]
    errors = ", ".join(f"{_number(part.error)} ({cells} cells)" for cells, part in report.calibration.items())
    lines.append(f"calibration error: {errors}")
    if router.accept_rate.is_known:
        lines.append(
            f"wins or ties against {report.accept.reference}: {spread(router.accept_rate)}; "
            f"area {_number(report.accept.area.get(ROUTER, np.nan))}; mean rank {_value(router.mean_rank)}"
        )
    if found := report.accept.against.get(ROUTER):
        spent = "" if np.isnan(found.relative_cost) else f", at {_number(found.relative_cost)} times its cost"
        counts = (found.wins, "win"), (found.ties, "tie"), (found.losses, "loss", "losses")
        lines.append(f"against {report.accept.reference}: {', '.join(counted(*each) for each in counts)}{spent}")
    if pair and ROUTER in pair.rows:
        row = pair.rows[ROUTER]
        lines.append(
            f"{pair.strong} against {pair.weak}: APGR {_number(row.apgr)}, "
            f"CPT(50) {_number(row.cpt_50)}, CPT(80) {_number(row.cpt_80)}"
        )
    return lines


def _notes(report: OutcomeReport, left_out: Sequence[str]) -> list[str]:
    """What to keep in mind of the figures."""
    lines = []
    if report.chosen_in != "train":
        lines.append(
            "Best single and its like were chosen on these prompts, which flatters them; --train TABLE mends it."
        )
    if report.tried_cells < 1:
        lines.append(
            f"{report.tried_cells:.1%} of the cells were tried; {report.untried_choices} of the router's choices "
            "were not, and are left out of its means. Each row's means are over the prompts in column 'on' alone: rows "
            "compare by the differences, which are over the prompts that both were tried on."
        )
    if left_out:
        lines.append(f"Not fitted: {', '.join(left_out)} (--baselines; evaluate needs --train).")
    return lines


def estimate_range(found: Estimate) -> str:
    """`.831 [.816, .846]`."""
    return f"{short(found.value)} [{short(found.low)}, {short(found.high)}]" if found.is_known else "-"


def cost(usd_per_prompt: float) -> str:
    """A cost in a column that is headed USD."""
    return "-" if np.isnan(usd_per_prompt) else usd(usd_per_prompt).removeprefix("USD ")


def _value(found: Estimate | None) -> str:
    return "-" if found is None else _number(found.value)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else short(value)
