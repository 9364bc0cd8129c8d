"""Flow runs asked for and ended through the API of a Prefect server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from flows.schedule.calendar import stored
from flows.schedule.state import FOLDER
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

NIGHTLY = "night/nightly"
_PAGE = 200
_SILENT = "Prefect's server does not answer ({}); see PREFECT_API_URL"


def start_night(api: str, tracks: list[str], scheduled: datetime | None = None, once: str = "", *, mark: str) -> UUID:
    """Ask for a night of tracks, all where none is named; a scheduled date is asked for once for each word of `once`.

    `mark` is the tag of this project's own deployments; those of a work pool have none.

    Raises:
        InputError: the server runs nights of another project.
        SwitchtenderError: the server does not answer, or knows no such deployment.
    """
    request = {"tracks": tracks, "scheduled": stored(scheduled) if scheduled else None}
    key = f"missed {stored(scheduled)} {once}" if scheduled else None
    with _asked(api, "Prefect's server took no night ({}); is the schedule up?") as client:
        deployment = client.read_deployment_by_name(NIGHTLY)
        if mark not in deployment.tags and any(tag.startswith(FOLDER) for tag in deployment.tags):
            raise _of_another(deployment.tags)
        asked = client.create_flow_run_from_deployment(
            deployment.id, parameters={"request": request}, idempotency_key=key
        )
        return asked.id


def require_no_other(api: str, mark: str) -> None:
    """Refuse a server that runs nights of another project, or by a work pool: both would start the same flows there.

    `mark` is the tag of this project's own deployments.

    Raises:
        InputError: there are such.
        SwitchtenderError: the server does not answer.
    """
    from prefect.exceptions import ObjectNotFound

    with _asked(api, _SILENT) as client, suppress(ObjectNotFound):
        tags = client.read_deployment_by_name(NIGHTLY).tags
        if mark not in tags:
            raise _of_another(tags)


def _of_another(tags: list[str]) -> InputError:
    return InputError(
        f"Prefect's server has the deployment {NIGHTLY} of another schedule (tags: {', '.join(tags)}); use another "
        "server, or delete it there if that schedule is gone"
    )


def crash_left_behind(
    api: str, mark: str, age: timedelta = timedelta(), alive: Callable[[], Collection[str]] = tuple
) -> int:
    """End flow runs left as running, by a killed schedule or for a server that was gone when they ended, so that they
    hold no place; returns how many.

    `mark` is the tag of this project's own deployments. Runs go on that are `alive`, by their id, or younger in their
    state than `age`: between Prefect's note that a run begins and its process there is a moment.

    Raises:
        SwitchtenderError: the server does not answer.
    """
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterTags,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.states import Crashed

    under_way = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    with _asked(api, _SILENT) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way)),
            ),
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[mark])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_PAGE,
        )
        going_on, settled = alive(), datetime.now(UTC) - age
        left = [
            run.id
            for run in found
            if str(run.id) not in going_on and run.state is not None and run.state.timestamp <= settled
        ]
        for run in left:
            client.set_flow_run_state(run, Crashed(message="its process is gone"), force=True)
        return len(left)


@contextmanager
def _asked(api: str, told: str) -> Iterator[SyncPrefectClient]:
    """A client of the server; what it raises is told in a line of ours, which has a place for why."""
    from httpx import HTTPError, InvalidURL
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    try:
        # Not `get_client`: it keeps to the address that was set when Prefect was imported.
        with SyncPrefectClient(
            api, auth_string=PREFECT_API_AUTH_STRING.value(), api_key=PREFECT_API_KEY.value()
        ) as client:
            yield client
    except (HTTPError, InvalidURL, PrefectException, RuntimeError) as error:
        raise SwitchtenderError(told.format(one_line(error))) from error
