"""`prune`: what old versions that never served take up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import listed
from switchtender.options import DryRun, Json, TrackOption
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.removal.prune import PruneResult

app = typer.Typer()


@app.command(epilog="Example: switchtender prune --keep 10 --dry-run")
def prune(
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="So many of the latest versions stay, besides any that served.")
    ],
    dry_run: DryRun = False,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Remove clones, artifacts and DVC objects of old versions that never served."""
    from flows.removal import prune as pruning
    from flows.workspace.project import find_project

    found = pruning.prune(find_project(track=track), keep, dry_run=dry_run)
    if as_json:
        print_json(_facts(found, dry_run))
    else:
        _print(found, dry_run)


def _print(found: PruneResult, dry_run: bool) -> None:
    if found.versions:
        rows = [[version.version, version.run_key] for version in found.versions]
        print_table("Never served, and old", ["version", "run"], rows)
    would = "would be " if dry_run else ""
    numbers = listed([version.version for version in found.versions])
    say(f"{would}pruned: version {numbers}; {len(found.objects)} objects, {found.megabytes:.1f} MB {would}freed")
    for line in found.remaining:
        say(f"left: {line}")
    if found.versions and not dry_run:
        say("next: `switchtender verify --all`")


def _facts(found: PruneResult, dry_run: bool) -> dict[str, object]:
    return {
        "versions": [version.version for version in found.versions],
        "objects": list(found.objects),
        "megabytes": round(found.megabytes, 3),
        "dry_run": dry_run,
        "remaining": list(found.remaining),
    }
