"""`tasks`: which tasks a router discovered, who wins in each, a page with their map, and which prompts match none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.runtime.errors import InputError
from switchtender.options import Json, RouterFolder, TrackOption, VersionOption
from switchtender.router_source import name_of, router_source
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.routers.calibrated import CalibratedRouter
    from pipeline.routers.tasks.drift import TaskDrift
    from pipeline.routers.tasks.router import TasksScorer
    from pipeline.routers.tasks.task_summary import TaskSummary
    from pipeline.runtime.plain import JsonObject

_SHOWN = 40
_NAMED = 3

app = typer.Typer()


@app.command(epilog="Example: switchtender tasks --version champion --track models --html tasks.html")
def tasks(
    version: VersionOption = "champion",
    folder: RouterFolder = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with the map of all prompts.")] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="A table of prompts: which match no task, and in which clusters.")
    ] = None,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Which tasks a `tasks` router discovered among the prompts, and which candidate is best in each."""
    from pipeline.routers.systems import open_router

    with router_source(version, folder, track) as (place, source):
        _print(open_router(place), name_of(source, folder), html, prompts, as_json)


def _print(router: CalibratedRouter, title: str, html: Path | None, prompts: Path | None, as_json: bool) -> None:
    from pipeline.reports.task_page import build_task_page

    scorer = _scorer(router)
    drift = None if prompts is None else _drift(router, scorer, prompts)
    found = scorer.tasks()
    if html:
        build_task_page(found, scorer.prompt_map(), title, html, drift)
    if as_json:
        print_json(_facts(found, drift, title, html))
        return
    _print_table(found, title)
    if drift is not None:
        _print_drift(drift, prompts)
    if html:
        say(f"page: {html}")


def _scorer(router: CalibratedRouter) -> TasksScorer:
    from pipeline.routers.tasks.router import TasksScorer

    if not isinstance(router.scorer, TasksScorer):
        raise InputError(
            f"a {router.scorer.name} router has no tasks; 'switchtender fit --router tasks' trains one that has, and a "
            "night does where train.router (of the models' track: models.train.router) is tasks"
        )
    return router.scorer


def _known(value: Any) -> Any:
    """Plain values with null where a figure is not known (a candidate that was never tried in a task)."""
    if isinstance(value, dict):
        return {name: _known(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_known(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _drift(router: CalibratedRouter, scorer: TasksScorer, table: Path) -> TaskDrift:
    from pipeline.data.outcomes import read_prompts

    ids, prompts = read_prompts(table)
    reading = router.read(prompts)
    assert reading is not None
    return scorer.drift(ids, router.followed(prompts), reading.vectors[reading.first])


def _facts(tasks: tuple[TaskSummary, ...], drift: TaskDrift | None, title: str, html: Path | None) -> JsonObject:
    from dataclasses import asdict

    found = {"router": title, "page": str(html) if html else None, "tasks": [_known(asdict(task)) for task in tasks]}
    if drift is None:
        return found
    clusters = [{"size": cluster.size, **asdict(cluster)} for cluster in drift.clusters]
    told = {"prompts": drift.prompts, "new": drift.new, "share": round(drift.share, 6)}
    return {**found, "drift": {**told, "clusters": clusters, "alone": drift.alone}}


def _print_table(tasks: tuple[TaskSummary, ...], title: str) -> None:
    rows = [
        [task.task, task.size, ", ".join(task.phrases[:3]), f"{best.candidate} {best.mean:.2f}"]
        for task in tasks[:_SHOWN]
        for best in task.candidates[:1]
    ]
    print_table(f"Tasks of {title}", ["task", "prompts", "words that tell it apart", "best candidate"], rows)
    if len(tasks) > _SHOWN:
        say(f"{len(tasks) - _SHOWN} smaller ones: --json, or --html FILE")


def _print_drift(drift: TaskDrift, table: Path | None) -> None:
    rows = [
        [f"new {place}", cluster.size, ", ".join(cluster.phrases[:_NAMED]), ", ".join(cluster.prompt_ids[:_NAMED])]
        for place, cluster in enumerate(drift.clusters[:_SHOWN], start=1)
    ]
    if drift.alone:
        rows.append(["alone", len(drift.alone), "each like no other", ", ".join(drift.alone[:_NAMED])])
    if rows:
        heads = ["cluster", "prompts", "words that tell it apart", "nearest prompts"]
        print_table(f"Prompts of {table} that match no task", heads, rows)
    if len(drift.clusters) > _SHOWN:
        say(f"{len(drift.clusters) - _SHOWN} smaller ones: --json, or --html FILE")
    say(f"{drift.new} of {drift.prompts} prompts match no task ({100 * drift.share:.1f} %)")
