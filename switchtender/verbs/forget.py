"""`forget`: rows that the dataset is to hold no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import listed
from switchtender.options import DryRun, Json, Reason
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.audit.trace import RowInVersion
    from flows.removal.forget import ForgetResult
    from flows.removal.forget_plan import AffectedTrack

app = typer.Typer()


@app.command(epilog='Example: switchtender forget p0042 --reason "deletion request 17"')
def forget(
    rows: Annotated[list[str], typer.Argument(help="Ids of prompts.")],
    reason: Reason = "",
    track: Annotated[
        str, typer.Option("--track", metavar="agents|models", help="Whose rows, where an id names one in each track.")
    ] = "",
    erase: Annotated[bool, typer.Option("--erase", help="Also purge their bytes from cache, remote and runs.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take rows out of both tracks' tables as a recorded commit, and mark every version that learnt from them."""
    from flows.removal import forget as forgetting
    from flows.workspace.project import find_project

    done = forgetting.forget(find_project(), rows, reason, track=track, erasing=erase, dry_run=dry_run)
    if as_json:
        print_json(_facts(done, dry_run))
    else:
        _print(done, dry_run)


def _facts(done: ForgetResult, dry_run: bool) -> dict[str, object]:
    plan, erased = done.plan, done.erased
    return {
        "rows": list(plan.ids),
        "in_dataset": sorted(plan.curated.cut.texts),
        "taken_out": {path.as_posix(): count for path, count in sorted(plan.curated.cut.gone.items())},
        "dry_run": dry_run,
        "commit": done.commit or None,
        "reviews_taken_along": plan.reviews,
        **{part.project.track.name: _touched(part) for part in plan.touched},
        "affected": [_row(row) for row in plan.rows],
        "erased": None
        if erased is None
        else {
            "objects": list(erased.objects),
            "files": [str(path) for path in (*erased.files, *erased.tracked, *erased.folders)],
            "journals": [str(path) for path in erased.journals],
            "git_objects": done.in_git.objects if done.in_git else {},
            "git_repositories": list(done.in_git.repositories) if done.in_git else [],
            "remaining": list(erased.remaining),
        },
        "left": list(done.left),
    }


def _touched(part: AffectedTrack) -> dict[str, list[str]]:
    return {"marked": list(part.marked), "in_service": [number for number in part.marked if number in part.in_service]}


def _row(row: RowInVersion) -> dict[str, object]:
    return {
        "version": row.version,
        "run_key": row.run_key,
        "prompt_id": row.prompt_id,
        "through": row.through or None,
        "split": row.split or None,
        "fate": row.fate,
        "taught": row.taught,
        "served": bool(row.served),
    }


def _print(done: ForgetResult, dry_run: bool) -> None:
    plan = done.plan
    if plan.rows:
        print_table("Versions that knew them", ["of", "version", "row", "through", "as", "fate", "taught", "served"], [
            [part.project.track.name, row.version, row.prompt_id, row.through or "-", row.split or "-", row.fate,
             _word(row.taught), _word(bool(row.served))]
            for part in plan.touched for row in part.rows
        ])  # fmt: skip
    would = "would be " if dry_run else ""
    for path, count in sorted(plan.curated.cut.gone.items()):
        say(f"{would}taken out of {path}: {count} {'row' if count == 1 else 'rows'}")
    if not plan.curated.cut.gone:
        say(f"taken out: none; no curated file holds {listed(plan.ids)}")
    if done.commit:
        say(f"recorded as commit {done.commit[:12]}")
    if plan.reviews:
        say(f"{would}taken along: {plan.reviews} decisions on labels that were not committed")
    for part in plan.touched:
        say(f"{would}marked, and promoted no more ({part.project.track.name}): version {listed(part.marked)}")
    for line in done.left:
        say(f"left: {line}")
    _print_erased(done, would)
    if dry_run:
        return
    for part in plan.touched:
        serving = _touched(part)["in_service"]
        if serving:
            say(f"version {listed(serving)} ({part.project.track.name}) was made with them and still serves")
    say(f"next: `switchtender nightly`, promote what it makes, then `switchtender trace {plan.ids[0]}`")


def _print_erased(done: ForgetResult, would: str) -> None:
    if done.erased is None:
        return
    files = len(done.erased.files) + len(done.erased.tracked)
    say(f"{would}erased: {len(done.erased.objects)} objects in cache and remote, {files} files")
    for folder in done.erased.folders:
        say(f"{would}erased: {folder}, left over from work that was cut short")
    for journal in done.erased.journals:
        say(f"{would}overwritten: the texts in {journal}")
    for line in done.erased.remaining:
        say(f"left: {line}")
    if done.in_git and done.in_git.objects:
        for name, path in done.in_git.objects.items():
            say(f"left: git's object {name[:12]}, {path or 'in no commit'}")
        say(f"only a rewrite of {listed(done.in_git.repositories)} clears those; see docs/forgetting.md")


def _word(value: bool) -> str:
    return "yes" if value else "no"
