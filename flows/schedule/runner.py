"""The part of the schedule that runs flows: `python -m flows.schedule.runner` in a project, PREFECT_API_URL set."""

from __future__ import annotations

import asyncio

from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from flows.schedule.deployments import deployments
from flows.schedule.state import calendar_of
from flows.workspace.project import find_project

_QUERY_SECONDS = 5.0


async def _run(offered: list[RunnerDeployment]) -> None:
    # Stopping the schedule ends no schedule: whoever starts it again finds what was missed.
    runner = Runner(name="switchtender", pause_on_shutdown=False, query_seconds=_QUERY_SECONDS)
    for deployment in offered:
        await runner.aadd_deployment(deployment)
    await runner.start()


if __name__ == "__main__":
    asyncio.run(_run(deployments(calendar_of(find_project()))))
