"""`candidate add`: a language model becomes routable from its outcomes alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import InputError
from pipeline.runtime.text import counted
from switchtender.nights import run_joining_night
from switchtender.options import CandidateName, DryRun, JoiningPool, Json, RouterFolder
from switchtender.own_tables import joining_prices, warn_of_names
from switchtender.show import print_json, say

if TYPE_CHECKING:
    from pipeline.data.pool import PoolCandidate

app = typer.Typer(
    name="candidate", help="Language models of the pool that join a trained router.", no_args_is_help=True
)


@app.callback()
def _candidate() -> None:
    """Language models of the pool that join a trained router."""


@app.command(epilog="Examples: switchtender candidate add new-model outcomes.parquet, or with --from DIR --out NEWDIR")
def add(
    name: CandidateName,
    outcomes: Annotated[Path, typer.Argument(help="Its outcomes on prompts of the router's own table.")],
    folder: RouterFolder = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --from: the folder to write.")] = None,
    pool: JoiningPool = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a new language model routable from its outcomes alone, as a new gated version; nothing is trained again."""
    if (folder is None) != (out is None):
        raise InputError("--from and --out belong together; give both, or neither for the project's own router")
    prices = joining_prices(pool, folder)
    if folder and out:
        _join_folder(name, outcomes, folder, out, prices, dry_run, as_json)
    else:
        _join_project(name, outcomes, dry_run, as_json)


def _join_folder(
    name: str, table: Path, folder: Path, out: Path, prices: Sequence[PoolCandidate], dry_run: bool, as_json: bool
) -> None:
    from pipeline.routers.fitting import learnt_prompts, load_and_join, refuse_existing, save_whole

    refuse_existing(out)
    router, prompts = load_and_join(folder, name, table, prices)
    warn_of_names(router.candidates)
    if not dry_run:
        save_whole(router, out, learnt_prompts(folder))
    if as_json:
        print_json({"candidate": name, "prompts": prompts, "candidates": list(router.candidates), "folder": str(out)})
    else:
        word = "would join" if dry_run else "joined"
        say(f"{name} {word} from {counted(prompts, 'prompt')}; {counted(len(router.candidates), 'candidate')}: {out}")


def _join_project(name: str, table: Path, dry_run: bool, as_json: bool) -> None:
    from flows.workspace.candidates import add
    from flows.workspace.project import find_project
    from pipeline.runtime.track import MODELS

    project = find_project(track=MODELS.name)
    kept = add(project, name, table, dry_run=dry_run)
    run_joining_night(project, kept, {"candidate": name}, dry_run, as_json)
