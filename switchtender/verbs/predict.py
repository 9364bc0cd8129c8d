"""`predict`: every candidate's score for every prompt of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from switchtender.options import Json, PoolFile, Threads
from switchtender.show import print_json, say

app = typer.Typer()


@app.command(epilog="Example: switchtender predict my-router prompts.csv --out predictions.csv")
def predict(
    router: Annotated[Path, typer.Argument(help="A folder made by `fit`.")],
    table: Annotated[Path, typer.Argument(help="A table with prompt_id and prompt.")],
    out: Annotated[Path, typer.Option("--out", help="prompt_id,candidate,score,cost,chosen: a row a pair.")],
    threads: Threads = 2,
    pool: PoolFile = None,
    as_json: Json = False,
) -> None:
    """Score every candidate for every prompt of a table."""
    from pipeline.data.outcomes import read_prompts
    from pipeline.data.pool import read_labels, read_pool
    from pipeline.routers.systems import open_router
    from pipeline.runtime.reproducibility import pin
    from pipeline.runtime.tables import write_table

    ids, prompts = read_prompts(table)
    entries, labels = (read_pool(pool), read_labels(table, ids)) if pool else (None, None)
    pin(0, threads)
    opened = open_router(router)
    predictions = opened.predict(prompts, entries, labels)
    write_table(predictions.table(ids), out)
    facts: dict[str, Any] = {"prompts": len(ids), "candidates": len(predictions.candidates), "out": str(out)}
    if pool or not opened.calibration:  # that no agent is needed is an answer too
        facts["unanswered"] = [name for name, row in zip(ids, predictions.chosen, strict=True) if not row.any()]
    if pool:
        facts["prices"] = "pool" if opened.can_reprice else "training"
    if as_json:
        print_json(facts)
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    say(f"{facts['prompts']} prompts, {facts['candidates']} candidates: {facts['out']}")
    if unanswered := facts.get("unanswered"):
        say(f"no candidate is chosen for {len(unanswered)} of them, such as '{unanswered[0]}'")
    if facts.get("prices") == "training":
        say("costs are by the prices of training: it was fitted without a pool, so that those of this one do not count")
