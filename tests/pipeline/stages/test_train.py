"""The stage `train`: what it refuses at once, and which rows it says were learnt from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.data.fates import KEPT, REFUSED
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import TrainParams
from pipeline.routers.systems import new_router
from pipeline.runtime.errors import InputError
from pipeline.runtime.reproducibility import RunParams
from pipeline.stages.train import _fates, _merged, train


def test_folds_are_merged_into_as_many_of_like_size() -> None:
    assert np.bincount(_merged(np.arange(12) % 6, 3)).tolist() == [4, 4, 4]
    for count in (4, 10):
        with pytest.raises(InputError, match=f"train.folds {count} does not divide the 6 folds of split"):
            _merged(np.arange(12) % 6, count)


def test_prices_are_for_models() -> None:
    with pytest.raises(InputError, match=r"train\.priced is for the models' track"):
        train(TrainParams(priced=True), RunParams(seed=1, threads=1))


def test_augmented_rows_that_a_system_leaves_out_taught_nobody() -> None:
    rows = pd.DataFrame(
        {"prompt_id": ["p1", "a1"], "prompt": ["add", "ad"], "agents": ["sum", "sum"], "parents": ["", "p1"]}
    )
    for system, fate in (("aptitude", REFUSED), ("linear", KEPT)):
        found = {each.prompt_id: each for each in _fates(rows, new_router(system, FinetuningParams(), 0))}
        assert (found["p1"].fate, found["a1"].fate) == (KEPT, fate)
    assert "learns from real rows alone" in _fates(rows, new_router("aptitude", FinetuningParams(), 0))[1].reason
