"""The map of a task router's prompts: dots, colours, and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.plots import new_figure, save
from pipeline.routers.tasks.task_summary import PromptMap, TaskSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DOTS = 4000
"""More prompts are drawn by every so manieth one: a page of a million dots opens nowhere."""


_LOUD = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#7B3F9E", "#8C564B", "#2F4F4F", "#B22222")


_QUIET = "#9AA5B1"


WIDE, HIGH, _EDGE = 1000.0, 620.0, 14.0


@dataclass(frozen=True)
class Dot:
    """One prompt on the page: its place in units of the drawing, its colour, and what hovering says."""

    x: float
    y: float
    colour: str
    title: str


def colour_of(place: int) -> str:
    """The largest tasks have a colour of their own, the others are grey; `place` counts from the largest, 0."""
    return _LOUD[place] if place < len(_LOUD) else _QUIET


def dots_of(tasks: Sequence[TaskSummary], prompts: PromptMap) -> list[Dot]:
    """Where each prompt is drawn; tasks in the order of `tasks`."""
    step = -(-len(prompts.prompt_ids) // MOST_DOTS)
    place = {task.task: (order, task) for order, task in enumerate(tasks)}
    low, high = prompts.places.min(axis=0), prompts.places.max(axis=0)
    room = np.array([WIDE, HIGH]) - 2 * _EDGE
    where = _EDGE + (prompts.places - low) / np.maximum(high - low, 1e-9) * room
    dots = []
    for row in range(0, len(prompts.prompt_ids), step):
        order, task = place[int(prompts.task[row])]
        title = f"{prompts.prompt_ids[row]} · task {task.task}: {', '.join(task.phrases[:3])}"
        dots.append(Dot(round(float(where[row, 0]), 1), round(float(where[row, 1]), 1), colour_of(order), title))
    return dots


def draw_task_map(tasks: Sequence[TaskSummary], prompts: PromptMap, path: Path) -> None:
    """The map as a PNG, the largest tasks named by their first phrase and their best candidate."""
    save(path, lambda: _figure(tasks, prompts))


def _figure(tasks: Sequence[TaskSummary], prompts: PromptMap) -> Figure:
    figure, (axes,) = new_figure(5.2)
    for order, task in reversed(list(enumerate(tasks))):
        inside = prompts.task == task.task
        named = order < len(_LOUD)
        best = task.candidates[0].candidate if task.candidates else "-"
        label = f"{', '.join(task.phrases[:2]) or task.task} ({task.size}): {best}" if named else None
        x, y = prompts.places[inside].T
        axes.scatter(x, y, s=5, color=colour_of(order), alpha=0.7, label=label, linewidths=0)
    axes.set(xticks=[], yticks=[], title=f"{len(tasks)} tasks; size, and the candidate that is best there")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, fontsize=7, markerscale=3)
    return figure


TASK_MAP = "task_map"
