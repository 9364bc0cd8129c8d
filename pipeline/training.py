"""Stage `train`: one router, fitted on train alone; epochs, calibration and thresholds from held-out folds in it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline.agents import read_agents
from pipeline.determinism import RunParams, fingerprint, pin
from pipeline.fates import KEPT, TRAIN, fates_of_rows, write_fates
from pipeline.metrics import macro_f1, micro_f1
from pipeline.outcomes import Outcomes, from_labels
from pipeline.params import read
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.classifier import ClassifierScorer
from pipeline.routers.settings import FinetuningParams
from pipeline.routers.systems import new_router
from pipeline.stage import STAGES, Summary, run_stage, shows_progress
from pipeline.tables import read_table, sha256_folder, write_json, write_table

if TYPE_CHECKING:
    from pipeline.routers.encoder import Encoder
    from pipeline.routers.windows import Reader

NAME = "train"


class TrainParams(FinetuningParams):
    """Which router the night trains, and how."""

    router: str

    def finetuning(self) -> FinetuningParams:
        """The part that a router sees."""
        return FinetuningParams.model_validate(self.model_dump(exclude={"router"}))


def train(params: TrainParams, run: RunParams) -> Summary:
    """Fit the router on the augmented train rows and write its folder, held-out probabilities and fingerprint.

    The folds are those of `split`, merged. Augmented rows are learnt from but never judged on, so what is tuned
    is tuned on real prompts.

    Raises:
        InputError: unknown router or encoder.
    """
    agents = read_agents()
    rows = read_table(STAGES / "augment" / "train.parquet").drop(columns="line")
    outcomes = from_labels(rows, [a.name for a in agents], {a.name: a.usd_per_call for a in agents})
    outcomes = replace(outcomes, augmented=(rows["parents"] != "").to_numpy())
    folds = rows["fold"].to_numpy() % params.folds
    with tqdm(unit="step", desc="train", disable=not shows_progress(), leave=False) as bar:
        router = new_router(params.router, params.finetuning(), run.seed, _Advance(bar))
        router.scorer.int8 = partial(_in_int8, threads=run.threads)
        if isinstance(router.scorer, ClassifierScorer):
            bar.reset(total=router.scorer.steps(outcomes, folds))
        router.fit(outcomes, folds)
    router.save(STAGES / NAME / "router")
    write_table(_quantised_table(rows, router), STAGES / NAME / "quantised.parquet")
    write_table(_held_out_table(rows, router), STAGES / NAME / "held_out.parquet")
    write_json(fingerprint(run.threads), STAGES / NAME / "environment.json")
    write_fates(NAME, fates_of_rows(rows, KEPT, TRAIN))
    return _summary(router, outcomes)


class _Advance:
    """Moves a progress bar one step on each call."""

    def __init__(self, bar: tqdm) -> None:  # type: ignore[type-arg]
        self.bar = bar

    def __call__(self, where: str) -> None:
        self.bar.set_postfix_str(where, refresh=False)
        self.bar.update()


def _in_int8(encoder: Encoder, threads: int) -> AbstractContextManager[Reader]:
    from pipeline.routers.onnx_export import quantised

    return quantised(encoder, threads)


def _quantised_table(rows: pd.DataFrame, router: CalibratedRouter) -> pd.DataFrame:
    """Held-out probabilities twice, by precision; the rows of one network a fold, in fp32 and in int8."""
    columns = ["prompt_id", "agents", "precision", *router.candidates]
    if router.quantised is None:
        return pd.DataFrame({name: [] for name in columns})
    facts = rows[["prompt_id", "agents"]].reset_index(drop=True)
    both = {"fp32": router.quantised.fp32, "int8": router.quantised.int8}
    tables = [
        pd.concat([facts, pd.DataFrame(values, columns=list(router.candidates))], axis=1).assign(precision=which)
        for which, values in both.items()
    ]
    return pd.concat(tables)[columns].dropna(ignore_index=True)


def _held_out_table(rows: pd.DataFrame, router: CalibratedRouter) -> pd.DataFrame:
    held_out = pd.DataFrame(router.held_out, columns=list(router.candidates))
    return pd.concat([rows[["prompt_id", "agents"]].reset_index(drop=True), held_out], axis=1).dropna(ignore_index=True)


def _summary(router: CalibratedRouter, outcomes: Outcomes) -> Summary:
    if router.held_out is None:
        raise RuntimeError("a fitted router has held-out probabilities")
    real = ~np.isnan(router.held_out).any(axis=1)
    truth, chosen = outcomes.quality[real] > 0.5, router.policy.choose(router.held_out[real])
    scorer = router.scorer
    return {
        "rows": len(outcomes),
        "epochs": scorer.epochs if isinstance(scorer, ClassifierScorer) else 0,
        "cross_validated_micro_f1": micro_f1(truth, chosen),
        "cross_validated_macro_f1": macro_f1(truth, chosen),
        "cooccurrence_strength": router.calibration.strength if router.calibration else 0.0,
        "router_sha256": sha256_folder(STAGES / NAME / "router"),
    }


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads)
    return train(read("train", TrainParams), run)


if __name__ == "__main__":
    run_stage(NAME, _run)
