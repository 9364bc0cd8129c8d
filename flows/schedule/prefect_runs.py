"""Flow runs asked for and ended through the API of a Prefect server."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flows.schedule.calendar import stored
from pipeline.runtime.errors import SwitchtenderError, one_line

NIGHTLY = "night/nightly"
_PAGE = 200


def start_night(api: str, tracks: list[str], scheduled: datetime | None = None, attempt: int = 0) -> UUID:
    """Ask for a night of tracks, all where none is named; the same scheduled date and attempt is asked for once.

    Raises:
        SwitchtenderError: the server does not answer, or knows no such deployment.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import PrefectException

    request = {"tracks": tracks, "scheduled": stored(scheduled) if scheduled else None}
    key = f"missed {stored(scheduled)} {attempt}" if scheduled else None
    try:
        # Not `get_client`: it keeps to the address that was set when Prefect was imported.
        with SyncPrefectClient(api=api) as client:
            deployment = client.read_deployment_by_name(NIGHTLY)
            asked = client.create_flow_run_from_deployment(
                deployment.id, parameters={"request": request}, idempotency_key=key
            )
            return asked.id
    except (HTTPError, PrefectException, RuntimeError) as error:
        raise SwitchtenderError(f"Prefect's server took no night ({one_line(error)}); is the schedule up?") from error


def crash_left_behind(api: str) -> int:
    """End flow runs that a killed schedule left as running, so that they hold no place; returns how many.

    Raises:
        SwitchtenderError: the server does not answer.
    """
    from httpx import HTTPError
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterTags,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.exceptions import PrefectException
    from prefect.states import Crashed

    from flows.schedule.deployments import TAG

    under_way = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    try:
        # Not `get_client`: it keeps to the address that was set when Prefect was imported.
        with SyncPrefectClient(api=api) as client:
            found = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way)),
                ),
                deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=_PAGE,
            )
            for run in found:
                client.set_flow_run_state(run.id, Crashed(message="the schedule was killed"), force=True)
            return len(found)
    except (HTTPError, PrefectException, RuntimeError) as error:
        raise SwitchtenderError(f"Prefect's server does not answer ({one_line(error)})") from error
