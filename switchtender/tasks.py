"""`tasks`: which tasks a router discovered, who wins in each, a page with their map, and which prompts match none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.routers.calibrated import CalibratedRouter
    from pipeline.routers.tasks.drift import Drift
    from pipeline.routers.tasks.router import TasksScorer
    from pipeline.routers.tasks.task_summary import TaskEvidence

_SHOWN = 40
_NAMED = 3


def print_tasks(
    version: str, folder: Path | None, html: Path | None, as_json: bool, asked: Path | None = None, track: str = ""
) -> None:
    """The tasks of a registered version, or of a router's folder; of a table `asked` the prompts that match none.

    Raises:
        InputError: the router is of a system that has no tasks.
        TableError: the table cannot be read.
    """
    if folder is None:
        from flows.status import router_at
        from flows.workspace.project import find_project

        with router_at(find_project(track=track), version) as (place, source):
            _print(place, f"version {source['version']}", html, as_json, asked)
    else:
        _print(folder, str(folder), html, as_json, asked)


def _scorer(router: CalibratedRouter) -> TasksScorer:
    from pipeline.routers.tasks.router import TasksScorer
    from pipeline.runtime.errors import InputError

    if not isinstance(router.scorer, TasksScorer):
        raise InputError(f"a {router.scorer.name} router has no tasks; train one with --router tasks")
    return router.scorer


def known(value: Any) -> Any:
    """Plain values with null where a figure is not known (a candidate that was never tried in a task)."""
    if isinstance(value, dict):
        return {name: known(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [known(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(folder: Path, title: str, html: Path | None, as_json: bool, asked: Path | None) -> None:
    from pipeline.reports.task_page import build_task_page
    from pipeline.routers.systems import open_router

    router = open_router(folder)
    scorer = _scorer(router)
    drift = None if asked is None else _drift(router, scorer, asked)
    tasks = scorer.tasks()
    if html:
        build_task_page(tasks, scorer.prompt_map(), title, html, drift)
    if as_json:
        print_json(_facts(tasks, drift, title, html))
        return
    _print_table(tasks, title)
    if drift is not None:
        _print_drift(drift, asked)
    if html:
        say(f"page: {html}")


def _drift(router: CalibratedRouter, scorer: TasksScorer, table: Path) -> Drift:
    from pipeline.data.outcomes import read_prompts

    ids, prompts = read_prompts(table)
    reading = router.read(prompts)
    assert reading is not None
    return scorer.drift(ids, router.followed(prompts), reading.vectors[reading.first])


def _facts(tasks: tuple[TaskEvidence, ...], drift: Drift | None, title: str, html: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    found = {"router": title, "page": str(html) if html else None, "tasks": [known(asdict(task)) for task in tasks]}
    if drift is None:
        return found
    clusters = [{"size": cluster.size, **asdict(cluster)} for cluster in drift.clusters]
    told = {"prompts": drift.prompts, "new": drift.new, "share": round(drift.share, 6)}
    return {**found, "drift": {**told, "clusters": clusters, "alone": drift.alone}}


def _print_table(tasks: tuple[TaskEvidence, ...], title: str) -> None:
    rows = [
        [task.task, task.size, ", ".join(task.phrases[:3]), f"{best.candidate} {best.mean:.2f}"]
        for task in tasks[:_SHOWN]
        for best in task.candidates[:1]
    ]
    print_table(f"Tasks of {title}", ["task", "prompts", "words that tell it apart", "best candidate"], rows)
    if len(tasks) > _SHOWN:
        say(f"{len(tasks) - _SHOWN} smaller ones: --json, or --html FILE")


def _print_drift(drift: Drift, table: Path | None) -> None:
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
