"""The tasks of a `tasks` router for people to look at: a page with a map of the prompts, and a picture of the same map.

No prompt's text is in the router, so a dot is a prompt's id. The page loads and runs nothing; hovering shows names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.evaluation.task_map import HIGH, WIDE, colour_of, dots_of
from pipeline.reports.night_report import page_environment
from pipeline.routers.tasks.drift import TaskDrift
from pipeline.routers.tasks.task_summary import PromptMap, TaskSummary
from pipeline.runtime.tables import write_text

TEMPLATE = "task_page.html.j2"


def build_task_page(
    tasks: Sequence[TaskSummary], prompts: PromptMap, title: str, path: Path, drift: TaskDrift | None = None
) -> None:
    """Write the page whole; `drift` are the prompts of a table that match no task.

    Raises:
        TableError: the place cannot be written.
    """
    environment = page_environment()
    environment.globals |= {"colour_of": colour_of}
    dots = dots_of(tasks, prompts)
    page = environment.get_template(TEMPLATE).render(
        tasks=tasks, dots=dots, all=len(prompts.prompt_ids), title=title, wide=WIDE, high=HIGH, drift=drift
    )
    write_text(page, path)
