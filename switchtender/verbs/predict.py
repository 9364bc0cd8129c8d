"""`predict`: every candidate's score for every prompt of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline.runtime.errors import InputError
from switchtender.options import DeviceOption, Json, PoolFile, Precision, Threads
from switchtender.own_tables import count_unsupported_languages, fast_reading
from switchtender.show import print_json, say, say_aside, size_of, warn_of_languages

app = typer.Typer()


@dataclass(frozen=True)
class PredictedTable:
    """What was predicted. `unanswered` are prompts for which no candidate is chosen, None where that tells nothing;
    `prices` says whose were counted, None without a pool. `unsupported_languages` counts the prompts in each language
    that the encoder was not made for; None where there are none.
    """

    prompts: int
    candidates: int
    out: str
    unanswered: list[str] | None
    prices: str | None
    unsupported_languages: dict[str, int] | None


@app.command(epilog="Example: switchtender predict my-router prompts.csv --out predictions.csv")
def predict(
    router: Annotated[Path, typer.Argument(help="A folder made by `fit`.")],
    table: Annotated[Path, typer.Argument(help="A table with prompt_id and prompt.")],
    out: Annotated[Path, typer.Option("--out", help="prompt_id,candidate,score,cost,chosen,learnt: a row a pair.")],
    threads: Threads = 2,
    pool: PoolFile = None,
    precision: Precision = "fp32",
    device: DeviceOption = "auto",
    as_json: Json = False,
) -> None:
    """Score every candidate for every prompt of a table."""
    import numpy as np

    from pipeline.data.outcomes import read_prompts
    from pipeline.data.pool import read_labels, read_pool
    from pipeline.routers.fitting import learnt_digest, learnt_prompts
    from pipeline.routers.systems import open_router
    from pipeline.runtime.reproducibility import pin
    from pipeline.runtime.tables import require_writable, write_table

    if out.exists() and any(out.samefile(read) for read in (table, pool) if read and read.exists()):
        raise InputError(f"--out {out} is what is read from; name another file")
    require_writable(out)
    ids, prompts = read_prompts(table)
    entries, labels = (read_pool(pool), read_labels(table, ids)) if pool else (None, None)
    if labels is None and any(entry.never_send for entry in entries or ()):
        say_aside(f"warning: {table} has no column 'labels', so that never_send in {pool} bars nobody")
    pin(0, threads, device)
    opened = open_router(router)
    with fast_reading(precision, threads):
        predictions = opened.predict(prompts, entries, labels)
        languages = count_unsupported_languages(opened, prompts)
    if known := learnt_prompts(router):
        learnt = np.array([learnt_digest(prompt) in known for prompt in prompts], dtype=np.bool_)
        predictions = replace(predictions, learnt=learnt)
    write_table(predictions.table(ids), out)
    unanswered = [name for name, row in zip(ids, predictions.chosen, strict=True) if not row.any()]
    told = unanswered if pool or not opened.calibration else None  # that no agent is needed is an answer too
    prices = ("pool" if opened.can_reprice else "training") if pool else None
    made = PredictedTable(len(ids), len(predictions.candidates), str(out), told, prices, languages or None)
    if as_json:
        print_json({name: held for name, held in vars(made).items() if held is not None})
    else:
        _print(made)


def _print(made: PredictedTable) -> None:
    say(f"{size_of(made.prompts, made.candidates)}: {made.out}")
    warn_of_languages(made.unsupported_languages or {}, made.prompts)
    if made.unanswered:
        say(f"no candidate is chosen for {len(made.unanswered)} of them, such as '{made.unanswered[0]}'")
    if made.prices == "training":
        say("costs are by the prices of training: it was fitted without a pool, so that those of this one do not count")
