"""Stage `join` of the models' track: candidates that came later join the fitted router, from their outcomes alone.

Nothing that was learnt of another candidate changes. Where none came, the router goes on as `train` saved it.
"""

from __future__ import annotations

import shutil

from pipeline.data.fates import FATES, KEPT, TRAIN, fates_of_rows, write_fates
from pipeline.data.prices import PRICES_FILE, read_prices
from pipeline.data.stage_rows import read_joining, read_rows
from pipeline.routers.systems import open_router
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import Summary, run_stage_of
from pipeline.runtime.track import MODELS, Track

NAME = "join"


def join(track: Track = MODELS) -> Summary:
    """Write the router that serves.

    Raises:
        InputError: the router's system cannot take in a candidate without a refit.
    """
    out = track.stages / NAME / "router"
    shutil.rmtree(out, ignore_errors=True)
    joining = read_joining("split")
    names = sorted(set(joining["candidate"]))
    learnt = read_rows(track, track.learnt).joined_by(joining)
    rows = learnt.where(learnt.prompts["prompt_id"].isin(joining["prompt_id"]).to_numpy())
    if not names:
        shutil.copytree(track.stages / "train" / "router", out)
    else:
        router = open_router(track.stages / "train" / "router")
        prices = tuple(read_prices(PRICES_FILE).by_name.values()) if router.can_reprice else ()
        router.join(rows.outcomes((*router.candidates, *names)), prices)
        router.save(out)
    write_fates(NAME, fates_of_rows(rows.labelled(), KEPT, TRAIN), track.stages / FATES.name)
    return {"joined": len(names), "outcomes": len(joining), "router_sha256": sha256_folder(out)}


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return join()


if __name__ == "__main__":
    run_stage_of(MODELS, NAME, lambda _: _run())
