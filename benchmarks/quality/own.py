"""This project's systems, as `switchtender fit` and `predict` use them."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.job import Answer, Job, numbers, timed
from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.fitting import fit_router
from pipeline.runtime.arrays import Binary
from pipeline.runtime.reproducibility import pin


def answer(job: Job) -> Answer:
    """The policy is fitted inside train."""
    pin(job.seed, job.threads, job.device)
    with timed() as took:
        router = fit_router(job.system, _outcomes(job), FinetuningParams.model_validate(job.settings), job.seed)
        _end_workers()
    found = router.predict(job.asked)
    moved = {name: _moved(router, found.chosen, prompts) for name, prompts in job.reworded.items()}
    expected = found.quality.mean(axis=0, dtype=np.float64).round(7).tolist()
    return Answer(numbers(found.chosen), took.wall, took.cpu, expected, moved)


def _outcomes(job: Job) -> Outcomes:
    quality = np.zeros((len(job.prompts), len(job.agents)), dtype=np.float32)
    for row, agents in enumerate(job.labels):
        quality[row, agents] = 1.0
    ids = tuple(str(row) for row in range(len(job.prompts)))
    unpriced = np.full_like(quality, np.nan)
    return Outcomes(ids, tuple(job.prompts), tuple(job.agents), quality, unpriced, is_labels=True)


def _end_workers() -> None:
    """Processes that fitted beside this one count once they have ended."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def _moved(router: CalibratedRouter, chosen: Binary, reworded: list[str]) -> list[int]:
    other = router.predict(reworded).chosen
    return [int(row) for row in np.flatnonzero((chosen != other).any(axis=1))]
