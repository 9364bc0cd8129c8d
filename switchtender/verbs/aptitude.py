"""`aptitude export` and `aptitude import`: a new candidate becomes routable by its answers to a router's test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import InputError
from switchtender.nights import run_joining_night
from switchtender.options import CandidateName, DryRun, JoiningPool, Json, RouterFolder
from switchtender.own_tables import joining_prices, warn_of_names
from switchtender.router_source import CHAMPION, router_source
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.workspace.project import Project
    from pipeline.data.pool import PoolCandidate
    from pipeline.onboarding.ability import Ability
    from pipeline.onboarding.aptitude_sheet import AptitudeSheet
    from pipeline.onboarding.graded_answers import GradedAnswers
    from pipeline.routers.aptitude.items import AptitudeTest
    from pipeline.routers.calibrated import CalibratedRouter
    from pipeline.runtime.plain import JsonObject

Version = Annotated[str, typer.Option("--version", help="A version number or alias of the models' track.")]

app = typer.Typer(
    name="aptitude",
    help="A new language model joins by its answers to a router's aptitude test.",
    no_args_is_help=True,
)


@app.callback()
def _aptitude() -> None:
    """A new language model joins by its answers to a router's aptitude test."""


@app.command(
    epilog="Examples: switchtender aptitude export --version champion --out sheet.csv --count 400, "
    "or with --from DIR --table TABLE"
)
def export(
    out: Annotated[Path, typer.Option("--out", help="The .csv, .parquet or .jsonl to write; it must not exist yet.")],
    version: Version = "",
    folder: RouterFolder = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Where the prompts are; by default the version's own table.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="So many items, spread over tasks; 100 are within 200.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Although the table lacks some items.")] = False,
    holdout: Annotated[
        bool, typer.Option("--holdout", help="Also the holdout's prompts, by which the gates judge a newcomer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a test's items with their prompts and how they are graded, for a new language model to answer."""
    from pipeline.onboarding.aptitude_sheet import make_sheet, write_sheet

    if holdout and folder is not None:
        raise InputError("a folder has no holdout; leave --holdout out")
    ids = _holdout_ids(_project()) if holdout else ()
    with _tested(version, folder) as (router, test), _table(version, folder, table) as place:
        sheet = make_sheet(test, router.followed, place, partial=partial, holdout=ids)
        written = write_sheet(sheet, count, out)
    _print_sheet(sheet, written - len(sheet.held_out), len(test), out, as_json)


def _print_sheet(sheet: AptitudeSheet, items: int, of: int, out: Path, as_json: bool) -> None:
    """How many of a test's items were written, beside how many prompts of the holdout."""
    held_out = len(sheet.held_out)
    if as_json:
        facts = {"items": items, "of": of, "holdout": held_out, "missing": list(sheet.missing), "sheet": str(out)}
        print_json(facts)
        return
    beside = f" and {held_out} prompts of the holdout" if held_out else ""
    say(f"wrote {items} of {of} items{beside}: {out}")
    if sheet.missing:
        say(f"missing {len(sheet.missing)} items whose prompts the table lacks: {', '.join(sheet.missing[:8])}")
    say("Have the candidate answer each prompt, fill in quality (0 to 1) and cost in USD, then: aptitude import")


@app.command(
    "import",
    epilog="Examples: switchtender aptitude import new-model results.csv, or with --from DIR --out NEWDIR",
)
def import_(
    name: CandidateName,
    results: Annotated[Path, typer.Argument(help="The sheet with quality, and cost where known, filled in.")],
    version: Version = "",
    folder: RouterFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --from: the folder to write.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Although some items have no quality.")] = False,
    pool: JoiningPool = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make the candidate routable from its graded answers, as a new gated version; nothing is trained again."""
    from flows.workspace.candidates import keep
    from pipeline.onboarding.ability import ability_of
    from pipeline.onboarding.graded_answers import read_graded_answers

    if (folder is None) != (out is None):
        raise InputError("--from and --out belong together; give both, or neither for the project's own router")
    prices = joining_prices(pool, folder)
    with _tested(version, folder) as (router, test):
        if name in router.candidates:
            raise InputError(f"the router knows '{name}' already; give the new candidate another name")
        warn_of_names((*router.candidates, name))
        holdout = () if folder else _holdout_texts()
        graded = read_graded_answers(results, test, router.followed, partial=partial, holdout=holdout)
        ability = ability_of(test, graded.on(test))
        if out:
            _join_folder(router, name, graded, folder, out, prices, dry_run)
    facts = {"candidate": name, **_facts(ability), "folder": str(out) if out else None}
    if not as_json:
        _print_ability(name, ability)
    if not out:
        project = _project()
        kept = keep(project, name, graded.outcomes(name), results, dry_run=dry_run)
        run_joining_night(project, kept, facts, dry_run, as_json)
    elif as_json:
        print_json({**facts, "dry_run": dry_run})
    else:
        say(f"{'would write' if dry_run else 'wrote'} a router with {name}: {out}")


def _project() -> Project:
    """The project, seen from the track whose routers have tests."""
    from flows.workspace.project import find_project
    from pipeline.runtime.track import MODELS

    return find_project(track=MODELS.name)


@contextmanager
def _tested(version: str, folder: Path | None) -> Iterator[tuple[CalibratedRouter, AptitudeTest]]:
    """A version's router, or a folder's, and its test."""
    from pipeline.routers.aptitude.router import AptitudeScorer
    from pipeline.routers.systems import open_router
    from pipeline.runtime.track import MODELS

    if folder is not None and version:
        raise InputError("--version and --from exclude each other; give one")
    with router_source(version or CHAMPION, folder, MODELS.name) as (place, _):
        router = open_router(place)
        if not isinstance(router.scorer, AptitudeScorer):
            name = router.scorer.name
            raise InputError(f"a {name} router has no aptitude test; train one with --router aptitude")
        yield router, router.scorer.test


@contextmanager
def _table(version: str, folder: Path | None, table: Path | None) -> Iterator[Path]:
    """The table that was given, or the one that the version learnt from."""
    if table is not None:
        yield table
    elif folder is not None:
        raise InputError("a router's folder holds no prompt's text; name the table that it was fitted on with --table")
    else:
        from flows.audit.training_table import recorded_table

        with recorded_table(_project(), version or CHAMPION) as place:
            yield place


def _holdout_ids(project: Project) -> tuple[str, ...]:
    from pipeline.data.holdout import read_holdout

    return read_holdout(project.root / project.holdout)


def _holdout_texts() -> tuple[str, ...]:
    """Of the project's holdout, whose prompts may be graded too."""
    from pipeline.data.outcomes import read_outcomes

    project = _project()
    ids = frozenset(_holdout_ids(project))
    known = read_outcomes(project.root / project.table)
    return tuple(text for name, text in zip(known.prompt_ids, known.prompts, strict=True) if name in ids)


def _join_folder(
    router: CalibratedRouter,
    name: str,
    graded: GradedAnswers,
    folder: Path | None,
    out: Path,
    prices: Sequence[PoolCandidate],
    dry_run: bool,
) -> None:
    from pipeline.routers.fitting import learnt_prompts, refuse_existing, save_whole

    refuse_existing(out)
    router.join(graded.outcomes(name, router.candidates), prices)
    if not dry_run:
        save_whole(router, out, learnt_prompts(folder) if folder else ())


def _facts(ability: Ability) -> JsonObject:
    return {
        "answers": ability.level.answers,
        "items": ability.items,
        "level": _rounded(asdict(ability.level)),
        "tasks": [_rounded({**asdict(task), "accuracy": _rounded(asdict(task.accuracy))}) for task in ability.tasks],
        "interval_width": round(ability.width, 6),
        "interval_width_of_a_full_test": round(ability.full_width, 6),
    }


def _rounded(facts: JsonObject) -> JsonObject:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}


def _print_ability(name: str, ability: Ability) -> None:
    say(f"read {ability.level.answers} answers of {name} to {ability.items} items")
    rows = [
        [
            task.task,
            ", ".join(task.keywords[:3]),
            f"{task.share:.0%}",
            task.accuracy.answers,
            task.accuracy.value,
            f"{task.accuracy.low:.2f} to {task.accuracy.high:.2f}",
        ]
        for task in ability.tasks
    ]
    columns = ["task", "words that tell it apart", "of all prompts", "answers", "accuracy", "95 %"]
    print_table(f"What {name} can do", columns, rows)
    level = ability.level
    say(f"expected level {level.value:.3f} over all prompts, 95 % {level.low:.3f} to {level.high:.3f}")
    say(
        f"a task's 95 % interval is {ability.width:.2f} wide on average, {ability.widening:.2f} times that of a full "
        f"test ({ability.full_width:.2f}); a task with few answers is taken to be nearer to the level"
    )
