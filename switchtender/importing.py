"""`import`: the public outcome tables, turned into the one form that routers fit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from switchtender.show import print_json, say


def import_table(format_name: str, path: Path, out: Path, prices: Path | None, as_json: bool) -> None:
    """Import, and say what came over, what is missing and where the costs are from."""
    from tqdm import tqdm

    from pipeline.data.prices import read_prices
    from pipeline.importers import import_outcomes
    from pipeline.runtime.stage import shows_progress

    known = read_prices(prices) if prices else None
    with tqdm(desc="import", unit="row", disable=not shows_progress(), leave=False) as bar:
        done = import_outcomes(format_name, path, out, known, bar.update)
    if as_json:
        print_json({"format": format_name, "out": str(out), **asdict(done)})
        return
    say(f"{done.rows} outcomes, {done.prompts} prompts, {len(done.candidates)} candidates: {out}")
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
