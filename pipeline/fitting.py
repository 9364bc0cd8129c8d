"""Fitting a router on any table, and judging it by cross-validation."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.folds import Folds, inner_folds, make_folds
from pipeline.outcomes import Outcomes
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.protocol import Predictions
from pipeline.routers.settings import FinetuningParams, Progress
from pipeline.routers.systems import new_router


def fit_router(
    system: str, outcomes: Outcomes, params: FinetuningParams, seed: int, progress: Progress | None = None
) -> CalibratedRouter:
    """Fit one system; calibration and thresholds come from folds made inside the given rows.

    Raises:
        InputError: unknown system or encoder, or fewer than two prompts.
    """
    router = new_router(system, params, seed, progress)
    router.fit(outcomes, inner_folds(outcomes, params.folds, seed))
    return router


def refuse_existing(folder: Path) -> None:
    """Raises InputError where something would be overwritten."""
    if folder.exists():
        raise InputError(f"{folder} exists; name a folder that does not, or remove it")


def save_whole(router: CalibratedRouter, folder: Path) -> None:
    """Save a router's folder, whole or not at all.

    Raises:
        InputError: the folder exists or its place cannot be written.
    """
    refuse_existing(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        router.save(partial)
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def outer_folds(outcomes: Outcomes, count: int, seed: int) -> Folds:
    """The table's own `fold` column where it has one, else stratified folds.

    Raises:
        InputError: too few rows, or a single fold.
    """
    folds = make_folds(outcomes.quality, count, seed) if outcomes.folds is None else outcomes.folds
    if len(np.unique(folds)) < 2:
        raise InputError("cross-validation needs at least 2 folds; add rows or mend the column 'fold'")
    return folds


def crossvalidate(
    system: str, outcomes: Outcomes, folds: Folds, params: FinetuningParams, seed: int, progress: Progress | None = None
) -> Predictions:
    """Predictions for every row by a router that was fitted, calibrated and tuned without its fold."""
    shape = outcomes.quality.shape
    quality, cost = np.zeros(shape, np.float32), np.full(shape, np.nan, np.float32)
    chosen = np.zeros(shape, np.bool_)
    for fold in np.unique(folds):
        held_out, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        router = fit_router(system, outcomes.rows(train), params, seed, progress)
        predictions = router.predict(outcomes.rows(held_out).prompts)
        quality[held_out], cost[held_out] = predictions.quality, predictions.cost
        chosen[held_out] = predictions.chosen
    return Predictions(outcomes.candidates, quality, cost, chosen)
