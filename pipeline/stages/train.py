"""Stage `train`: one router, fitted on train alone; calibration and thresholds from held-out folds in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline.data.fates import FATES, KEPT, REFUSED, TRAIN, Fate, fates_of_rows, write_fates
from pipeline.data.outcomes import Outcomes
from pipeline.data.prices import PRICES_FILE, read_prices
from pipeline.data.stage_rows import read_rows
from pipeline.metrics.multilabel import headline, macro_f1
from pipeline.routers.base.protocol import CountsEpochs, Fitted, Scorer, TriesAugmentation
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.fitting import TrainParams
from pipeline.routers.systems import new_router
from pipeline.runtime.arrays import Indices
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams, fingerprint, pin
from pipeline.runtime.stage import Summary, run_stage_on_track, shows_progress
from pipeline.runtime.stage_progress import ProgressFile
from pipeline.runtime.tables import write_json, write_table
from pipeline.runtime.track import AGENTS, Track

if TYPE_CHECKING:
    from pipeline.encoders.sentence_encoder import SentenceEncoder
    from pipeline.encoders.windows import TextEncoder

NAME = "train"


def train(params: TrainParams, run: RunParams, track: Track = AGENTS) -> Summary:
    """Fit the router on the track's train rows and write its folder, held-out probabilities and fingerprint.

    The folds are those of `split`, merged. Augmented rows are learnt from but never judged on, so what is tuned
    is tuned on real prompts.

    Raises:
        InputError: unknown router or encoder, folds of unlike size, or prices for agents.
    """
    if params.priced and track is AGENTS:
        raise InputError("train.priced is for the models' track: agents are chosen whatever they cost; leave it out")
    out = track.stages / NAME
    learnt = read_rows(track, track.learnt)
    rows, outcomes = learnt.labelled(), learnt.outcomes()
    if "parents" in rows.columns:
        outcomes = replace(outcomes, augmented=(rows["parents"] != "").to_numpy())
    folds = _merged(rows["fold"].to_numpy(), params.folds)
    with tqdm(unit="step", desc="train", disable=not shows_progress(), leave=False) as bar:
        prices = tuple(read_prices(PRICES_FILE).by_name.values()) if params.priced else ()
        advance = _Advance(bar, ProgressFile(f"{track.prefix}{NAME}"))
        router = new_router(params.router, params.finetuning(), run.seed, advance, params.policy, prices)
        if isinstance(router.scorer, CountsEpochs):
            bar.reset(total=router.scorer.steps(outcomes, folds))
        fitted = router.fit(outcomes, folds, int8=partial(_in_int8, threads=run.threads))
    router.save(out / "router")
    write_table(_quantised_table(rows, router.candidates, fitted), out / "quantised.parquet")
    write_table(_held_out_table(rows, router.candidates, fitted), out / "held_out.parquet")
    write_json(fingerprint(run.threads, run.device), out / "environment.json")
    write_fates(NAME, _fates(rows, router), track.stages / FATES.name)
    return {**_summary(router, outcomes, fitted), "router_sha256": sha256_folder(out / "router")}


def _merged(folds: Indices, count: int) -> Indices:
    """The folds of `split`, several as one.

    Raises:
        InputError: they would differ in size.
    """
    made = int(folds.max()) + 1
    if made % count and len(folds) > made:  # a handful of prompts has a fold each, and fewer folds than were asked for
        raise InputError(f"train.folds {count} does not divide the {made} folds of split; take a number that does")
    return folds % count


def _fates(rows: pd.DataFrame, router: CalibratedRouter) -> list[Fate]:
    """Every row was learnt from, but for augmented ones where the router does without them."""
    reason = _no_augmented_rows(router.scorer)
    if not reason or "parents" not in rows.columns:
        return fates_of_rows(rows, KEPT, TRAIN)
    refused = [replace(fate, reason=reason) for fate in fates_of_rows(rows[rows["parents"] != ""], REFUSED, TRAIN)]
    return fates_of_rows(rows[rows["parents"] == ""], KEPT, TRAIN) + refused


def _no_augmented_rows(scorer: Scorer) -> str:
    """Why a scorer learnt from none; empty where it learnt from them."""
    if not scorer.learns_augmented:
        return f"a {scorer.name} router learns from real rows alone"
    trial = scorer.augmentation if isinstance(scorer, TriesAugmentation) else None
    if trial is None or trial.used:
        return ""
    losses = f"from {trial.loss_without:.3f} to {trial.loss_with:.3f}"
    return f"augmentation raised the loss on {trial.prompts} held-out prompts {losses}"


class _Advance:
    """Moves a progress bar one step on each call, and tells whoever watches the night."""

    def __init__(self, bar: tqdm, file: ProgressFile) -> None:  # type: ignore[type-arg]
        self.bar = bar
        self.file = file
        self.steps = 0

    def __call__(self, where: str) -> None:
        self.bar.set_postfix_str(where, refresh=False)
        self.bar.update()
        self.steps += 1  # a bar that is not shown does not count
        self.file.write(self.steps, int(self.bar.total or 0), where)


def _in_int8(encoder: SentenceEncoder, threads: int) -> AbstractContextManager[TextEncoder]:
    from pipeline.encoders.onnx_export import quantised

    return quantised(encoder, threads)


def _quantised_table(rows: pd.DataFrame, candidates: Sequence[str], fitted: Fitted) -> pd.DataFrame:
    """Held-out probabilities twice, by precision; the rows of one network a fold, in fp32 and in int8."""
    columns = ["prompt_id", "agents", "precision", *candidates]
    if fitted.int8 is None:
        return pd.DataFrame({name: [] for name in columns})
    facts = rows[["prompt_id", "agents"]].reset_index(drop=True)
    both = {"fp32": fitted.held_out, "int8": fitted.int8}
    tables = [
        pd.concat([facts, pd.DataFrame(values, columns=list(candidates))], axis=1).assign(precision=which)
        for which, values in both.items()
    ]
    return pd.concat(tables)[columns].dropna(ignore_index=True)


def _held_out_table(rows: pd.DataFrame, candidates: Sequence[str], fitted: Fitted) -> pd.DataFrame:
    held_out = pd.DataFrame(fitted.held_out, columns=list(candidates))
    return pd.concat([rows[["prompt_id", "agents"]].reset_index(drop=True), held_out], axis=1).dropna(ignore_index=True)


def _summary(router: CalibratedRouter, outcomes: Outcomes, fitted: Fitted) -> Summary:
    real = np.flatnonzero(~np.isnan(fitted.held_out).any(axis=1))
    error = None if fitted.error is None else fitted.error[real]
    judged = outcomes.rows(real)
    chosen = router.policy.choose(fitted.held_out[real], fitted.cost[real], error=error)
    scorer, first = router.scorer, headline(judged)
    facts: Summary = {
        "rows": len(outcomes),
        "candidates": len(outcomes.candidates),
        "epochs": scorer.epochs if isinstance(scorer, CountsEpochs) else 0,
        f"cross_validated_{first.name}": first.statistic(first.truth, chosen),
    }
    if isinstance(scorer, TriesAugmentation) and (trial := scorer.augmentation):
        facts |= {"augmentation_used": trial.used, "loss_with": trial.loss_with, "loss_without": trial.loss_without}
    if outcomes.is_labels:
        facts["cross_validated_macro_f1"] = macro_f1(first.truth, chosen)
        facts["cooccurrence_strength"] = router.calibration.strength if router.calibration else 0.0
    return facts


def _run(track: Track) -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return train(track.read(NAME, TrainParams), run, track)


if __name__ == "__main__":
    run_stage_on_track(NAME, _run)
