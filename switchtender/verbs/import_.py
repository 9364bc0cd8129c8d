"""`import`: the public outcome tables, turned into the one form that routers fit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.text import counted
from switchtender.options import Json
from switchtender.own_tables import warn_of_names
from switchtender.show import print_json, progress_bar, say

if TYPE_CHECKING:
    from pipeline.importers import Imported

app = typer.Typer()


@app.command("import", epilog="Example: switchtender import routerbench routerbench_0shot.pkl --out outcomes.parquet")
def import_(
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="routerbench | routerdc | routellm | alpacaeval | llmrouterbench | routerarena"
        ),
    ],
    path: Annotated[Path, typer.Argument(help="The file or folder as its project publishes it.")],
    out: Annotated[Path, typer.Option("--out", help="The .parquet, .csv or .jsonl to write; it must not exist yet.")],
    prices: Annotated[
        Path | None, typer.Option("--prices", help="A price file such as data/prices.yaml, for costs from tokens.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a public outcome table into one that `fit` takes; missing cells stay missing, costs say their origin."""
    from pipeline.data.prices import read_prices
    from pipeline.importers import import_outcomes

    known = read_prices(prices) if prices else None
    with progress_bar("import", "row") as bar:
        done = import_outcomes(format_name, path, out, known, bar.update)
    warn_of_names(done.candidates)
    if as_json:
        print_json({"format": format_name, "out": str(out), **asdict(done)})
    else:
        _print(done, out)


def _print(done: Imported, out: Path) -> None:
    """What came over, what is missing and where the costs are from."""
    found = (done.rows, "outcome"), (done.prompts, "prompt"), (len(done.candidates), "candidate")
    say(f"{', '.join(counted(*each) for each in found)}: {out}")
    say(f"missing  {done.missing_cells} of {done.pairs} pairs of a prompt and a candidate have no quality")
    if done.prompts_without_outcome or done.candidates_without_outcome:
        names = f" and {', '.join(done.candidates_without_outcome)}" if done.candidates_without_outcome else ""
        say(f"absent   {done.prompts_without_outcome} prompts{names} have no outcome at all, and are not in the table")
    if done.parse_failures:
        say(f"failed   {done.parse_failures} answers are empty or an error; left out, though the source may say 0")
    if done.repeated_cells:
        say(f"repeated {done.repeated_cells} cells stand in the source again; the first was read")
    for source, rows in done.cost_sources.items():
        say(f"cost     {rows} rows: {source or 'unknown (token counts and --prices would tell)'}")
