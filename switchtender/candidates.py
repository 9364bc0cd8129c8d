"""`candidate add`: a language model becomes routable from its outcomes alone."""

from __future__ import annotations

from pathlib import Path

from switchtender.show import print_json, say


def add_candidate(
    name: str, outcomes: Path, router: Path | None, out: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Into the project and through a night; or, with `router` and `out`, into a copy of a router's folder.

    Raises:
        InputError: only one of `router` and `out` is given, or see `candidates.add` and `CalibratedRouter.join`.
        GateNotPassed: the night did not let the new version in.
    """
    from pipeline.runtime.errors import InputError

    if (router is None) != (out is None):
        raise InputError("--router and --out belong together; give both, or neither for the project's own router")
    if router and out:
        _join_folder(name, outcomes, router, out, as_json)
    else:
        _join_project(name, outcomes, dry_run, as_json)


def _join_folder(name: str, table: Path, folder: Path, out: Path, as_json: bool) -> None:
    from pipeline.routers.fitting import joined, refuse_existing, save_whole

    refuse_existing(out)
    router, prompts = joined(folder, name, table)
    save_whole(router, out)
    if as_json:
        print_json({"candidate": name, "prompts": prompts, "candidates": list(router.candidates), "folder": str(out)})
    else:
        say(f"{name} joined from {prompts} prompts; {len(router.candidates)} candidates: {out}")


def _join_project(name: str, table: Path, dry_run: bool, as_json: bool) -> None:
    from flows.workspace.candidates import add
    from flows.workspace.project import find_project
    from pipeline.runtime.track import MODELS
    from switchtender.night import run_nights

    project = find_project().on(MODELS)
    place, count = add(project, name, table, dry_run=dry_run)
    shown = place.relative_to(project.root)
    if not as_json:
        say(f"{'would write' if dry_run else 'wrote'} {count} outcomes of {name} to {shown}")
    if dry_run:
        if as_json:
            print_json({"candidate": name, "outcomes": count, "file": str(shown), "dry_run": True})
        return
    project.enter_environment()
    run_nights((project,), as_json)
