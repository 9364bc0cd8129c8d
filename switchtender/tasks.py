"""`tasks`: which tasks a router discovered, who wins in each, and a page with their map."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.routers.tasks.router import TasksScorer

_SHOWN = 40


def print_tasks(version: str, folder: Path | None, html: Path | None, as_json: bool) -> None:
    """The tasks of a registered version, or of a router's folder.

    Raises:
        InputError: the router is of a system that has no tasks.
    """
    if folder is None:
        from flows.project import find_project
        from flows.status import router_at

        with router_at(find_project(), version) as (place, source):
            _print(_scorer(place), f"version {source['version']}", html, as_json)
    else:
        _print(_scorer(folder), str(folder), html, as_json)


def _scorer(folder: Path) -> TasksScorer:
    from pipeline.errors import InputError
    from pipeline.routers.systems import open_router
    from pipeline.routers.tasks.router import TasksScorer

    scorer = open_router(folder).scorer
    if not isinstance(scorer, TasksScorer):
        raise InputError(f"a {scorer.name} router has no tasks; train one with --router tasks")
    return scorer


def known(value: Any) -> Any:
    """Plain values with null where a figure is not known (a candidate that was never tried in a task)."""
    if isinstance(value, dict):
        return {name: known(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [known(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _print(scorer: TasksScorer, title: str, html: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from pipeline.task_page import build_task_page

    tasks = scorer.tasks()
    if html:
        build_task_page(tasks, scorer.prompt_map(), title, html)
    if as_json:
        said = [known(asdict(task)) for task in tasks]
        print_json({"router": title, "page": str(html) if html else None, "tasks": said})
        return
    rows = [
        [task.task, task.size, ", ".join(task.phrases[:3]), f"{best.candidate} {best.mean:.2f}"]
        for task in tasks[:_SHOWN]
        for best in task.candidates[:1]
    ]
    print_table(f"Tasks of {title}", ["task", "prompts", "words that tell it apart", "best candidate"], rows)
    if len(tasks) > _SHOWN:
        say(f"{len(tasks) - _SHOWN} smaller ones: --json, or --html FILE")
    if html:
        say(f"page: {html}")
