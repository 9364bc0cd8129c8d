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
    holdout: Annotated[
        bool, typer.Option("--holdout", help="Also the holdout's prompts, by which the gates judge a newcomer.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a test's items with their prompts and how they are graded, for a new language model to answer."""
    from switchtender.aptitude import export_sheet

    export_sheet(version, router, table, out, count, partial, holdout, json)


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


@app.command(
    epilog="Example: switchtender aptitude run --endpoint https://api.example.org/v1 --key env:EXAMPLE_KEY "
    "--model new-model --sheet sheet.csv --out results.csv --yes"
)
def run(
    model: Annotated[str, typer.Option("--model", help="What the endpoint calls the model.")],
    sheet: Annotated[Path, typer.Option("--sheet", help="A sheet that `export` wrote.")],
    out: Annotated[
        Path, typer.Option("--out", help="The .csv or .jsonl of answers; one that is there is gone on with.")
    ],
    endpoint: Annotated[
        str,
        typer.Option("--endpoint", help="Its OpenAI-compatible address; else aptitude_run.endpoint in params.yaml."),
    ] = "",
    key: Annotated[str, typer.Option("--key", help="env:NAME or file:PATH of the API key.")] = "",
    per_minute: Annotated[
        float | None, typer.Option("--per-minute", min=0.01, help="At most so many prompts a minute.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=0, help="The longest answer; 0 sets no limit.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="A price file that has the model; else data/prices.yaml.")
    ] = None,
    input_price: Annotated[
        float | None, typer.Option("--input-price", min=0.0, help="USD per million tokens of prompts.")
    ] = None,
    output_price: Annotated[
        float | None, typer.Option("--output-price", min=0.0, help="USD per million tokens of answers.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask, after the estimate of the cost was told.")] = False,
    json: Json = False,
) -> None:
    """Have a live model answer a sheet: the cost is told first, a break is gone on from, and safe grades are given."""
    from switchtender.aptitude_run import RunOptions, run_sheet

    options = RunOptions(endpoint, key, per_minute, max_tokens, prices, input_price, output_price, yes)
    run_sheet(model, sheet, out, options, json)
