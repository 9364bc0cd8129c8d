"""`init`: a project of one's own."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from switchtender.options import DryRun, Json
from switchtender.show import print_json, print_table, say, say_aside

app = typer.Typer()


@app.command(epilog="Example: switchtender init my-router --agents agents.yaml --prompts prompts.csv")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new, or empty.")],
    agents: Annotated[
        Path | None, typer.Option("--agents", help="agents.yaml; without it, those that the prompts name.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="CSV, JSON Lines or Parquet: prompt, agents.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a project of your own: git, DVC, settings, a drawn holdout; its code is this package as it is installed.

    It tells what the data lack for a night. Without --prompts the tables are empty, to be filled by `label import`.

    Exit codes: 0 made, 2 the folder is not empty or a file cannot be used (nothing is left of it), 1 failed.
    """
    from flows.own_project import make
    from flows.setup import set_up
    from flows.workspace.project import Project

    made = make(folder, agents, prompts, dry_run=dry_run)
    if not dry_run:
        set_up(Project(made.folder))
    if as_json:
        print_json({**asdict(made), "folder": str(made.folder), "dry_run": dry_run})
        return
    if made.passed_over:
        say_aside(f"not read of {prompts}: {', '.join(made.passed_over)}")
    if made.lacks:
        print_table("What the data lack", ["of", "found", "what to do"], [[x.of, x.found, x.mend] for x in made.lacks])
    say(
        f"{'would be made' if dry_run else 'made'}: {made.folder}, {made.agents} agents, {made.prompts} prompts, "
        f"{made.holdout} of them held out"
    )
    if not dry_run:
        # Its Makefile takes the python of the PATH, which need not be the one that the package is installed for.
        python = "" if shutil.which("python") == sys.executable else f" PYTHON={shlex.quote(sys.executable)}"
        then = f"make nightly{python}" if made.holdout else "see README.md, Filling an empty project"
        say(f"next: cd {shlex.quote(str(made.folder))}; {then}")
