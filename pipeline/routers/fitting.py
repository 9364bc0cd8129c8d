"""Fitting a router on any table, and judging it by cross-validation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.data.folds import inner_folds, make_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.prices import Priced
from pipeline.policies.policy import AUTO, PolicyParams
from pipeline.routers.base.protocol import Predictions, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import new_router, open_router
from pipeline.runtime.arrays import Indices
from pipeline.runtime.checksums import write_checksums
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.text import folded

LEARNT_PROMPTS = "learnt_prompts.txt"
DEFAULT_ROUTER = "classifier"
DEFAULT_MODEL_ROUTER = "tags"
"""Of agents, and of graded outcomes, as the shipped params.yaml has them for the night's tracks."""


def fit_router(
    system: str,
    outcomes: Outcomes,
    params: FinetuningParams,
    seed: int,
    progress: Progress | None = None,
    policy: PolicyParams = AUTO,
    prices: Sequence[Priced] = (),
) -> CalibratedRouter:
    """Fit one system; calibration and the policy's numbers come from folds made inside the given rows.

    Raises:
        InputError: unknown system or encoder, fewer than two prompts, a policy that the table cannot have, or a
            candidate without a price where `prices` are given.
    """
    router = new_router(system, params, seed, progress, policy, prices)
    router.fit(outcomes, inner_folds(outcomes, params.folds, seed))
    return router


def load_and_join(folder: Path, name: str, table: Path, prices: Sequence[Priced] = ()) -> tuple[CalibratedRouter, int]:
    """A saved router with one candidate more, learnt from a table alone, and from how many prompts.

    The table holds the new candidate's outcomes and, on the same prompts, those of the known ones; `prices` are needed
    where the router was fitted with some.

    Raises:
        InputError: the router cannot take one in, or the table has no outcome of it.
        TableError: the table is malformed.
    """
    router = open_router(folder)
    if name in router.candidates:
        raise InputError(f"{folder} knows '{name}' already; give the new candidate another name")
    outcomes = read_outcomes(table, (*router.candidates, name))
    tried = np.flatnonzero(~np.isnan(outcomes.quality[:, -1]))
    if not len(tried):
        raise InputError(f"{table} has no outcome of '{name}'; add rows, or check the name")
    router.join(outcomes.rows(tried), prices)
    return router, len(tried)


def refuse_existing(folder: Path) -> None:
    """Raises InputError where something would be overwritten."""
    if folder.exists():
        raise InputError(f"{folder} exists; name a folder that does not, or remove it")


def learnt_digest(prompt: str) -> str:
    """By which it is told that a router learnt from a prompt: of its sha256 enough, case and spacing aside."""
    return sha256_text(folded(prompt))[:16]


def learnt_prompts(folder: Path) -> frozenset[str]:
    """The digests of what a saved router learnt from; none where that was not written down."""
    path = folder / LEARNT_PROMPTS
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()


def save_whole(router: CalibratedRouter, folder: Path, learnt: Iterable[str] = ()) -> None:
    """Save a router's folder, whole or not at all, with digests of the prompts that it learnt from and of its files.

    Raises:
        InputError: the folder exists or its place cannot be written.
    """
    from safetensors import SafetensorError

    refuse_existing(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        router.save(partial)
        (partial / LEARNT_PROMPTS).write_text("\n".join(sorted(set(learnt))) + "\n", encoding="utf-8")
        write_checksums(partial)
        for file in partial.rglob("*"):  # tensors are written for their owner alone
            file.chmod((0o777 if file.is_dir() else 0o666) & ~_umask())
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another place") from error
    except SafetensorError as error:
        raise InputError(
            f"{folder} cannot be written ({one_line(error, 100)}); make room, or choose another place"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def outer_folds(outcomes: Outcomes, count: int, seed: int) -> Indices:
    """The table's own `fold` column where it has one, else stratified folds.

    Raises:
        InputError: too few rows, or a single fold.
    """
    folds = make_folds(outcomes, count, seed) if outcomes.folds is None else outcomes.folds
    if len(np.unique(folds)) < 2:
        raise InputError("cross-validation needs at least 2 folds; add rows or mend the column 'fold'")
    return folds


def crossvalidate(
    system: str,
    outcomes: Outcomes,
    folds: Indices,
    params: FinetuningParams,
    seed: int,
    progress: Progress | None = None,
    policy: PolicyParams = AUTO,
    prices: Sequence[Priced] = (),
) -> Predictions:
    """Predictions for every row by a router that was fitted, calibrated and tuned without its fold."""
    made = []
    for fold in np.unique(folds):
        held_out, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        router = fit_router(system, outcomes.rows(train), params, seed, progress, policy, prices)
        made.append((held_out, router.predict(outcomes.rows(held_out).prompts)))
    return gathered(made)


class TrainParams(FinetuningParams):
    """Which router the night trains, and how; `priced` says that costs were paid at the prices of data/prices.yaml."""

    router: str = DEFAULT_ROUTER
    priced: bool = False
    policy: PolicyParams = AUTO

    def finetuning(self) -> FinetuningParams:
        """The part that a router sees."""
        return FinetuningParams.model_validate(self.model_dump(exclude={"router", "priced", "policy"}))
