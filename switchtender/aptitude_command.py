"""The verbs about aptitude tests: write one's items, have them answered, read the graded answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from switchtender.options import DryRun, Json

app = typer.Typer(help="A new language model joins by its answers to a router's aptitude test.", no_args_is_help=True)
Version = Annotated[str, typer.Option("--version", help="A version number or alias of the models' track.")]
Folder = Annotated[Path | None, typer.Option("--from", help="A folder made by `fit` instead of a version.")]


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
    router: Folder = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Where the prompts are; by default the version's own table.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="So many items, spread over tasks; 100 are within 200.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Although the table lacks some items.")] = False,
    json: Json = False,
) -> None:
    """Write a test's items with their prompts and how they are graded, for a new language model to answer."""
    from switchtender.aptitude import export_sheet

    export_sheet(version, router, table, out, count, partial, json)


@app.command(
    "import",
    epilog="Examples: switchtender aptitude import new-model results.csv, or with --from DIR --out NEWDIR",
)
def import_(
    name: Annotated[str, typer.Argument(help="The new candidate's name.")],
    results: Annotated[Path, typer.Argument(help="The sheet with quality, and cost where known, filled in.")],
    version: Version = "",
    router: Folder = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --from: the folder to write.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Although some items have no quality.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make the candidate routable from its graded answers, as a new gated version; nothing is trained again."""
    from switchtender.aptitude import import_results

    import_results(name, results, version, router, out, partial, dry_run, json)
