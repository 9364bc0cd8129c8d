"""Reports of an evaluation as tables that fit a terminal; --json has every figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.evaluation.recommendation_text import short, spread, usd
from pipeline.runtime.errors import InputError
from switchtender.show import print_json, print_table, say

_NAMES = {
    "best_single": "best single",
    "best_per_dataset": "told data set",
    "single_candidates": "best single",
}
_MOST_SLICES = 24


def show_labels(report: dict[str, Any], as_json: bool) -> None:
    """The report on a table of labels: metrics, and precision and recall of each candidate."""
    if as_json:
        print_json(report)
        return
    title = f"{report['prompts']} prompts, {report['candidates']} candidates"
    figures = [[name, f["value"], f["low"], f["high"]] for name, f in report["metrics"].items()]
    print_table(title, ["metric", "value", "95 % from", "to"], figures)
    rows = [[r["candidate"], r["precision"], r["recall"], r["f1"], r["support"]] for r in report["per_candidate"]]
    print_table("by candidate", ["candidate", "precision", "recall", "F1", "support"], rows)


def refuse_for_labels(**given: Path | None) -> None:
    """Raises InputError for an option that serves graded outcomes only."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} is for tables with candidate and quality, not with agents; leave it out")


def show_outcomes(report: dict[str, Any], fitted: tuple[str, ...], pictures: Path | None, as_json: bool) -> None:
    """The report on graded outcomes, beside baselines that were `fitted`; its plots go into the folder `pictures`."""
    from pipeline.evaluation.cost_quality_plots import draw_outcomes
    from pipeline.evaluation.fitted_baselines import LEARNT

    left_out = [name for name in LEARNT if name not in (*fitted, report.get("router"))]
    drawn = draw_outcomes(report, pictures) if pictures else ()
    facts = {**report, "baselines_left_out": left_out, "pictures": [str(path) for path in drawn]}
    if as_json:
        print_json(facts)
    else:
        _print_outcomes(facts)


def _print_outcomes(report: dict[str, Any]) -> None:
    """All tables of a report, and below them in plain lines what to keep in mind."""
    _strategies(report)
    if report["swept"]:
        _for_cost(report["swept"])
    _slices(report)
    for line in (*_facts(report), *_notes(report)):
        say(line)


def _strategies(report: dict[str, Any]) -> None:
    over_datasets = any("quality_over_datasets" in row for row in report["metrics"].values())
    columns = ["", "quality, 95 %", *(["by set"] if over_datasets else []), "USD", "router minus it, 95 %"]
    rows = []
    for name, row in report["metrics"].items():
        by_set = [_value(row.get("quality_over_datasets"))] if over_datasets else []
        spent, less = row.get("cost_usd"), row.get("router_minus_this")
        rows.append(
            [
                _shown(name, report),
                figure_range(row["quality"]),
                *by_set,
                cost(spent["value"]) if spent else "-",
                figure_range(less) if less else "",
            ]
        )
    title = f"{report['prompts']} prompts, {report['candidates']} candidates; best single: {report['best_single']}"
    print_table(title, columns, rows)


def _for_cost(swept: dict[str, Any]) -> None:
    columns = ["", "AIQ", f"at {usd(swept['half_of_best_single'])}", "USD to match best single"]
    rows = [
        [
            _NAMES.get(name, name),
            row["aiq"],
            row["quality_at_half_of_best_single"],
            cost(row["cost_to_match_best_single"]),
        ]
        for name, row in swept["rows"].items()
    ]
    print_table(f"quality for cost, {swept['label']}", columns, rows)
    point = swept["operating_point"]
    say(f"the router {point['label']}: quality {_number(point['quality'])} at {usd(point['cost_usd'])} a prompt")


def _slices(report: dict[str, Any]) -> None:
    rows = [
        [
            row["name"],
            row["prompts"],
            *(row["quality"][name] for name in ("router", "best_single", "oracle")),
            figure_range(row["router_minus_best_single"]),
        ]
        for row in [*report["datasets"], *report["slices"]]
    ]
    if rows:
        columns = ["slice", "prompts", "router", "single", "oracle", "router minus single"]
        print_table("by slice", columns, rows[:_MOST_SLICES])
    if len(rows) > _MOST_SLICES:
        say(f"{len(rows) - _MOST_SLICES} more slices: --json")


def _facts(report: dict[str, Any]) -> list[str]:
    router, calibration = report["metrics"]["router"], report["calibration"]
    lines = [f"gap between best single and oracle closed by the router: {spread(router['gap_closed'])}"]
    errors = ", ".join(f"{_number(part['error'])} ({cells} cells)" for cells, part in calibration.items())
    lines.append(f"calibration error: {errors}")
    if "accept_rate" in router:
        area = report["accept"]["area"].get("router")
        lines.append(
            f"wins or ties against {report['accept']['reference']}: {spread(router['accept_rate'])}; "
            f"area {_number(area)}; mean rank {_value(router.get('mean_rank'))}"
        )
    pair = report["pair"]
    if pair and "router" in pair["rows"]:
        row = pair["rows"]["router"]
        lines.append(
            f"{pair['strong']} against {pair['weak']}: APGR {_number(row['apgr'])}, "
            f"CPT(50) {_number(row['cpt_50'])}, CPT(80) {_number(row['cpt_80'])}"
        )
    return lines


def _notes(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["chosen_in"] != "train":
        lines.append(
            "Best single and its like were chosen on these prompts, which flatters them; --train TABLE mends it."
        )
    if report["tried_cells"] < 1:
        lines.append(
            f"{report['tried_cells']:.1%} of the cells were tried; {report['untried_choices']} of the router's choices "
            "were not, and are left out of its means."
        )
    if report["baselines_left_out"]:
        lines.append(f"Not fitted: {', '.join(report['baselines_left_out'])} (--baselines; evaluate needs --train).")
    return lines + [f"picture: {path}" for path in report["pictures"]]


def _shown(name: str, report: dict[str, Any]) -> str:
    return f"router: {report['router']}" if name == "router" and "router" in report else _NAMES.get(name, name)


def figure_range(figure: dict[str, Any]) -> str:
    """`.831 [.816, .846]`."""
    if figure["value"] is None:
        return "-"
    return f"{short(figure['value'])} [{short(figure['low'])}, {short(figure['high'])}]"


def cost(usd_per_prompt: float | None) -> str:
    """A cost in a column that is headed USD."""
    return "-" if usd_per_prompt is None else usd(usd_per_prompt).removeprefix("USD ")


def _value(figure: dict[str, Any] | None) -> str:
    return "-" if figure is None else _number(figure["value"])


def _number(value: float | None) -> str:
    return "-" if value is None else short(value)
