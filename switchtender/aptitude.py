"""`aptitude export` and `aptitude import`: a new candidate becomes routable by its answers to a router's test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.onboarding.ability import Standing
    from pipeline.onboarding.graded_answers import Results
    from pipeline.routers.aptitude.items import AptitudeTest
    from pipeline.routers.calibrated import CalibratedRouter

CHAMPION = "champion"


def export_sheet(
    version: str,
    folder: Path | None,
    table: Path | None,
    out: Path,
    count: int | None,
    partial: bool,
    holdout: bool,
    as_json: bool,
) -> None:
    """Write the sheet of a version's test, or of a folder's with the table that it was fitted on.

    Raises:
        InputError: a folder without a table, or with `holdout`; a router without a test; see `onboarding.test_sheet`.
    """
    from pipeline.onboarding.test_sheet import sheet_of, write_sheet

    ids = _holdout_ids(folder) if holdout else ()
    with _tested(version, folder) as (router, test), _table(version, folder, table) as place:
        sheet = sheet_of(test, router.followed, place, partial=partial, holdout=ids)
        written = write_sheet(sheet, count, out)
    if as_json:
        held_out = len(sheet.held_out)
        print_json(
            {
                "items": written - held_out,
                "of": len(test),
                "holdout": held_out,
                "missing": list(sheet.missing),
                "sheet": str(out),
            }
        )
        return
    beside = f" and {len(sheet.held_out)} prompts of the holdout" if holdout else ""
    say(f"wrote {written - len(sheet.held_out)} of {len(test)} items{beside}: {out}")
    if sheet.missing:
        say(f"missing {len(sheet.missing)} items whose prompts the table lacks: {', '.join(sheet.missing[:8])}")
    say("Have the candidate answer each prompt, fill in quality (0 to 1) and cost in USD, then: aptitude import")


def import_results(
    name: str,
    results: Path,
    version: str,
    folder: Path | None,
    out: Path | None,
    partial: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Into the project and through a night; or, with `folder` and `out`, into a copy of a router's folder.

    Raises:
        InputError: only one of `folder` and `out` is given; the candidate is known; or see `read_results`.
        GateNotPassed: the night did not let the new version in.
    """
    from pipeline.onboarding.ability import standing_of
    from pipeline.onboarding.graded_answers import read_results
    from pipeline.runtime.errors import InputError

    if (folder is None) != (out is None):
        raise InputError("--from and --out belong together; give both, or neither for the project's own router")
    with _tested(version, folder) as (router, test):
        if name in router.candidates:
            raise InputError(f"the router knows '{name}' already; give the new candidate another name")
        holdout = () if folder else _holdout_texts()
        graded = read_results(results, test, router.followed, partial=partial, holdout=holdout)
        standing = standing_of(test, graded.on(test))
        if folder and out:
            _join_folder(router, name, graded, out, dry_run)
    facts = {"candidate": name, **_facts(standing), "folder": str(out) if out else None, "dry_run": dry_run}
    if not as_json:
        _print(name, standing)
    if out and not as_json:
        say(f"{'would write' if dry_run else 'wrote'} a router with {name}: {out}")
    elif out:
        print_json(facts)
    else:
        _join_project(name, graded, results, facts, dry_run, as_json)


@contextmanager
def _tested(version: str, folder: Path | None) -> Iterator[tuple[CalibratedRouter, AptitudeTest]]:
    """A version's router, or a folder's, and its test."""
    from pipeline.routers.systems import open_router
    from pipeline.runtime.errors import InputError

    if folder is not None and version:
        raise InputError("--version and --from exclude each other; give one")
    if folder is not None:
        yield _with_test(open_router(folder))
        return
    from flows.status import router_at
    from flows.workspace.project import find_project
    from pipeline.runtime.track import MODELS

    with router_at(find_project().on(MODELS), version or CHAMPION) as (place, _):
        yield _with_test(open_router(place))


def _with_test(router: CalibratedRouter) -> tuple[CalibratedRouter, AptitudeTest]:
    from pipeline.routers.aptitude.router import AptitudeScorer
    from pipeline.runtime.errors import InputError

    if not isinstance(router.scorer, AptitudeScorer):
        raise InputError(f"a {router.scorer.name} router has no aptitude test; train one with --router aptitude")
    return router, router.scorer.test


@contextmanager
def _table(version: str, folder: Path | None, table: Path | None) -> Iterator[Path]:
    """The table that was given, or the one that the version learnt from."""
    from pipeline.runtime.errors import InputError

    if table is not None:
        yield table
    elif folder is not None:
        raise InputError("a router's folder holds no prompt's text; name the table that it was fitted on with --table")
    else:
        from flows.audit.training_table import recorded_table
        from flows.workspace.project import find_project
        from pipeline.runtime.track import MODELS

        with recorded_table(find_project().on(MODELS), version or CHAMPION) as place:
            yield place


def _holdout_ids(folder: Path | None) -> tuple[str, ...]:
    from flows.workspace.project import find_project
    from pipeline.data.holdout import read_holdout
    from pipeline.runtime.errors import InputError
    from pipeline.runtime.track import MODELS

    if folder is not None:
        raise InputError("a folder has no holdout; leave --holdout out")
    project = find_project().on(MODELS)
    return read_holdout(project.root / project.holdout)


def _holdout_texts() -> tuple[str, ...]:
    """Of the project's models' track: these prompts may be graded too."""
    from flows.workspace.project import find_project
    from pipeline.data.outcomes import read_outcomes
    from pipeline.runtime.track import MODELS

    project = find_project().on(MODELS)
    ids = frozenset(_holdout_ids(None))
    known = read_outcomes(project.root / project.table)
    return tuple(text for name, text in zip(known.prompt_ids, known.prompts, strict=True) if name in ids)


def _join_folder(router: CalibratedRouter, name: str, graded: Results, out: Path, dry_run: bool) -> None:
    from pipeline.routers.fitting import refuse_existing, save_whole

    refuse_existing(out)
    router.join(graded.outcomes(name, router.candidates))
    if not dry_run:
        save_whole(router, out)


def _join_project(
    name: str, graded: Results, results: Path, facts: dict[str, Any], dry_run: bool, as_json: bool
) -> None:
    from flows.workspace.candidates import keep
    from flows.workspace.project import find_project
    from pipeline.runtime.track import MODELS
    from switchtender.night import run_nights

    project = find_project().on(MODELS)
    place, count = keep(project, name, graded.outcomes(name), results, dry_run=dry_run)
    shown = str(place.relative_to(project.root))
    if not as_json:
        say(f"{'would write' if dry_run else 'wrote'} {count} outcomes of {name} to {shown}")
    if dry_run:
        if as_json:
            print_json({**facts, "outcomes": count, "file": shown})
        return
    project.enter_environment()
    run_nights((project,), as_json, {**facts, "outcomes": count, "file": shown})


def _facts(standing: Standing) -> dict[str, Any]:
    return {
        "answers": standing.level.answers,
        "items": standing.items,
        "level": _rounded(asdict(standing.level)),
        "tasks": [_rounded({**asdict(task), "accuracy": _rounded(asdict(task.accuracy))}) for task in standing.tasks],
        "interval_width": round(standing.width, 6),
        "interval_width_of_a_full_test": round(standing.full_width, 6),
    }


def _rounded(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}


def _print(name: str, standing: Standing) -> None:
    say(f"read {standing.level.answers} answers of {name} to {standing.items} items")
    rows = [
        [
            task.task,
            ", ".join(task.keywords[:3]),
            f"{task.share:.0%}",
            task.accuracy.answers,
            task.accuracy.value,
            f"{task.accuracy.low:.2f} to {task.accuracy.high:.2f}",
        ]
        for task in standing.tasks
    ]
    columns = ["task", "words that tell it apart", "of all prompts", "answers", "accuracy", "95 %"]
    print_table(f"What {name} can do", columns, rows)
    level = standing.level
    say(f"expected level {level.value:.3f} over all prompts, 95 % {level.low:.3f} to {level.high:.3f}")
    say(
        f"a task's 95 % interval is {standing.width:.2f} wide on average, {standing.widening:.2f} times that of a full "
        f"test ({standing.full_width:.2f}); a task with few answers is taken to be nearer to the level"
    )
