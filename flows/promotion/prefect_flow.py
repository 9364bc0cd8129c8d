"""Promotion and rollback as Prefect flows, so that they can be started from forms in Prefect's page."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.promotion.judging import Move
from flows.promotion.promotion import promote, rollback
from flows.workspace.project import find_project
from pipeline.reports.markdown import figure, markdown_table

VersionNumber = Annotated[int, Field(ge=1, description="The number of a registered version.")]
Reason = Annotated[str, Field(min_length=1, description="Why; it is kept for good in the promotion log.")]
Force = Annotated[bool, Field(description="Although something speaks against it; recorded as such.")]
TrackName = Annotated[str, Field(pattern=r"^(agents|models)$", description="Whose router: agents, or models.")]
DryRun = Annotated[bool, Field(description="Say what would be done, and do nothing.")]


@flow(name="promote", persist_result=False)
def promote_version(
    version: VersionNumber, reason: Reason, force: Force = False, dry_run: DryRun = False, track: TrackName = "agents"
) -> None:
    """Put a version into service: bytes proved, gates read again, compared with the champion of today."""
    _tell(promote(find_project(track=track), str(version), reason, force=force, dry_run=dry_run), "promoted", dry_run)


@flow(name="rollback", persist_result=False)
def roll_back(reason: Reason, force: Force = False, dry_run: DryRun = False, track: TrackName = "agents") -> None:
    """Put the version before the present one into service again."""
    _tell(rollback(find_project(track=track), reason, force=force, dry_run=dry_run), "rolled back", dry_run)


def _tell(move: Move, done: str, dry_run: bool) -> None:
    rows = [(gate.gate, figure(gate.value), figure(gate.told_limit), gate.told_verdict) for gate in move.gates]
    table = markdown_table(("gate", "value", "limit", "verdict"), rows) if rows else ""
    word = f"would be {done}" if dry_run else done
    create_markdown_artifact(
        f"## {word}: version {move.version_from or 'none'} to {move.version_to}\n\n{table}",
        key="promotion",
        description=f"{word} to version {move.version_to}",
    )
