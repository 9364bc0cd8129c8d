"""The part of the schedule that runs flows: `python -m flows.schedule.runner` in a project, PREFECT_API_URL set."""

from __future__ import annotations

import asyncio

from prefect.client.orchestration import PrefectClient, get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner

from flows.notifications.sending import notify_params
from flows.schedule.automations import tell_of_failed_runs
from flows.schedule.deployments import deployments
from flows.schedule.state import calendar_of, own_mark
from flows.workspace.project import find_project
from pipeline.runtime.errors import InputError

_QUERY_SECONDS = 5.0


async def _run(offered: list[RunnerDeployment], block: str) -> None:
    if block:
        async with get_client() as client:
            await _automated(client, block)
    # Stopping the schedule ends no schedule: whoever starts it again finds what was missed.
    runner = Runner(name="switchtender", pause_on_shutdown=False, query_seconds=_QUERY_SECONDS)
    for deployment in offered:
        await runner.aadd_deployment(deployment)
    await runner.start()


async def _automated(client: PrefectClient, block: str) -> None:
    """A block that is not there costs word, and no night."""
    try:
        await tell_of_failed_runs(client, block)
    except InputError as error:
        print(f"warning: {error}")


if __name__ == "__main__":
    project = find_project()
    asyncio.run(_run(deployments(calendar_of(project), own_mark(project)), notify_params(project).prefect_block))
