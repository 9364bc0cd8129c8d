"""An automation on Prefect's server that tells of failed and crashed runs by a notification block kept there.

https://docs.prefect.io/v3/concepts/automations
"""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.events import EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from flows.schedule.state import TAG
from pipeline.runtime.errors import InputError

NAME = "switchtender: a run failed"
_STATES = ("Failed", "Crashed", "Gate closed", "Not sound")
_SUBJECT = "Switchtender: {{ flow.name }} {{ flow_run.state.name }}"
_BODY = "{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"


async def tell_of_failed_runs(client: PrefectClient, block: str) -> None:
    """Make the automation, or bring it up to date; `block` is `type/name`, such as `slack-webhook/duty`.

    Raises:
        InputError: the server has no such block.
    """
    kind, _, name = block.partition("/")
    try:
        document = await client.read_block_document_by_name(name, kind)
    except ObjectNotFound as error:
        raise InputError(
            f"Prefect's server has no block '{block}' (params.yaml: notify.prefect_block); make it on its page, Blocks"
        ) from error
    wanted = AutomationCore(
        name=NAME,
        description="Made from params.yaml: notify.prefect_block",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in _STATES},
            match_related=ResourceSpecification(
                {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
            ),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[SendNotification(block_document_id=document.id, subject=_SUBJECT, body=_BODY)],
    )
    known = await client.read_automations_by_name(NAME)
    if known:
        await client.update_automation(known[0].id, wanted)
    else:
        await client.create_automation(wanted)
