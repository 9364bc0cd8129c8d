"""`forget` and `prune`."""

from __future__ import annotations

from collections.abc import Sequence

from flows.audit.trace import RowInVersion
from flows.removal.forget import Forgetting, Touched, forget
from flows.removal.prune import Pruning, prune
from flows.workspace.project import find_project
from switchtender.show import print_json, print_table, say


def print_forget(rows: list[str], reason: str, erase: bool, dry_run: bool, as_json: bool) -> None:
    """Forget rows; show each version and augmented row that they reach, and what is to be done next."""
    done = forget(find_project(), rows, reason, erasing=erase, dry_run=dry_run)
    if as_json:
        print_json(_forgetting(done, dry_run))
    else:
        _print_forgetting(done, dry_run)


def _forgetting(done: Forgetting, dry_run: bool) -> dict[str, object]:
    plan, erased = done.plan, done.erased
    return {
        "rows": list(plan.ids),
        "in_dataset": sorted(plan.cut.texts),
        "dry_run": dry_run,
        "commit": done.commit or None,
        **{part.project.track.name: _touched(part) for part in plan.touched},
        "affected": [_row(row) for row in plan.rows],
        "erased": None
        if erased is None
        else {
            "objects": list(erased.objects),
            "files": [str(path) for path in (*erased.files, *erased.tracked)],
            "remaining": list(erased.remaining),
        },
    }


def _touched(part: Touched) -> dict[str, list[str]]:
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


def _print_forgetting(done: Forgetting, dry_run: bool) -> None:
    plan = done.plan
    if plan.rows:
        print_table("Versions that knew them", ["of", "version", "row", "through", "as", "fate", "taught", "served"], [
            [part.project.track.name, row.version, row.prompt_id, row.through or "-", row.split or "-", row.fate,
             _word(row.taught), _word(bool(row.served))]
            for part in plan.touched for row in part.rows
        ])  # fmt: skip
    would = "would be " if dry_run else ""
    say(f"{would}taken out of the dataset: {_some(sorted(plan.cut.texts))}")
    if done.commit:
        say(f"recorded as commit {done.commit[:12]}")
    for part in plan.touched:
        say(f"{would}marked, and promoted no more ({part.project.track.name}): version {_some(part.marked)}")
    _print_erased(done, would)
    if dry_run:
        return
    for part in plan.touched:
        serving = _touched(part)["in_service"]
        if serving:
            say(f"version {_some(serving)} ({part.project.track.name}) was made with them and still serves")
    say(f"next: `switchtender nightly`, promote what it makes, then `switchtender trace {plan.ids[0]}`")


def _print_erased(done: Forgetting, would: str) -> None:
    if done.erased is None:
        return
    files = len(done.erased.files) + len(done.erased.tracked)
    say(f"{would}erased: {len(done.erased.objects)} objects in cache and remote, {files} files")
    for line in done.erased.remaining:
        say(f"left: {line}")
    say("left: git's history, which only a rewrite clears; see docs/forgetting.md")


def _some(names: Sequence[str]) -> str:
    """A list that stays on its line."""
    shown = ", ".join(names[:6]) or "none"
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _word(value: bool) -> str:
    return "yes" if value else "no"


def print_prune(keep: int, dry_run: bool, as_json: bool, track: str = "") -> None:
    """Prune, and say what it freed."""
    found = prune(find_project(track=track), keep, dry_run=dry_run)
    if as_json:
        print_json(_pruning(found, dry_run))
        return
    if found.versions:
        rows = [[version.version, version.run_key] for version in found.versions]
        print_table("Never served, and old", ["version", "run"], rows)
    would = "would be " if dry_run else ""
    numbers = _some([version.version for version in found.versions])
    say(f"{would}pruned: version {numbers}; {len(found.objects)} objects, {found.megabytes:.1f} MB {would}freed")
    for line in found.remaining:
        say(f"left: {line}")
    if found.versions and not dry_run:
        say("next: `switchtender verify --all`")


def _pruning(found: Pruning, dry_run: bool) -> dict[str, object]:
    return {
        "versions": [version.version for version in found.versions],
        "objects": list(found.objects),
        "megabytes": round(found.megabytes, 3),
        "dry_run": dry_run,
        "remaining": list(found.remaining),
    }
