"""`notify`: send word that is due, show what would go out, or try the places."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import SwitchtenderError
from switchtender.options import DryRun, Json
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.notifications.sending import Sent
    from flows.workspace.project import Project

app = typer.Typer()


@app.command(epilog="Example: switchtender notify --test")
def notify(
    test: Annotated[bool, typer.Option("--test", help="Send a test message to each place.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Send word of failed nights, closed gates and the like (params.yaml: notify), as each night does by itself."""
    from flows.notifications.sending import notify as send_due
    from flows.notifications.sending import send_test
    from flows.workspace.project import find_project

    project = find_project()
    project.enter_environment()
    if dry_run:
        _print_due(project, as_json)
    else:
        _print_sent(send_test(project) if test else send_due(project), as_json)


def _print_due(project: Project, as_json: bool) -> None:
    """What is due, also where no place is named yet."""
    from flows.notifications.sending import due, notify_params
    from pipeline.runtime.plain import plain

    params = notify_params(project)
    shown = params if params.to else params.model_copy(update={"to": ["nobody"]})
    waiting = due(project, shown, datetime.now(UTC))
    if as_json:
        print_json({"due": [{**plain(notice), "to": to} for notice, to in waiting]})
    elif not waiting:
        say("Nothing is due.")
    else:
        print_table("Due", ["to", "what", "then"], [[to, notice.title, notice.text] for notice, to in waiting])


def _print_sent(attempts: list[Sent], as_json: bool) -> None:
    from pipeline.runtime.plain import plain

    if as_json:
        print_json({"sent": plain(attempts)})
    for one in () if as_json else attempts:
        say(f"{'NOT sent' if one.error else 'sent'} to {one.to}: {one.title}")
    if not attempts and not as_json:
        say("Nothing is due, or no place is named in params.yaml: notify.to.")
    if failed := [one for one in attempts if one.error]:
        raise SwitchtenderError(f"{failed[0].to}: {failed[0].error}")
