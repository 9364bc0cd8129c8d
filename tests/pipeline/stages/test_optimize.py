"""Which precision serves, and the training rows that answers lead back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted_subjects import two_agents

from pipeline.encoders.engine_files import TRAINING_ROWS
from pipeline.encoders.onnx_export import quantised
from pipeline.encoders.training_index import TrainingIndex, training_index_of
from pipeline.metrics.precision_loss import RoutedDifferently, read_precisions
from pipeline.policies.policy import BestPolicy, SubsetPolicy
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.baselines.tfidf import TfidfScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import new_router
from pipeline.runtime.errors import VerificationFailed
from pipeline.stages.optimize import OptimizeParams, compare_precisions

PARAMS = OptimizeParams(int8=True, max_loss=0.005, training_rows=10)


class _Judge(CalibratedRouter):
    """A router of two candidates whose policy is known."""

    def __init__(self) -> None:
        super().__init__(TfidfScorer())
        self.policy = SubsetPolicy((0.5, 0.5), at_least_one=False)

    @property
    def candidates(self) -> tuple[str, ...]:
        return ("sql", "email")


def _held_out(wrong: int, rows: int = 200) -> dict[str, pd.DataFrame]:
    """fp32 is right everywhere; int8 leaves out `email` in the first `wrong` rows."""
    base = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(rows)], "agents": "sql|email", "sql": 0.9, "email": 0.9})
    coarse = base.copy()
    coarse.loc[: wrong - 1, "email"] = 0.4
    return {"fp32": base, "int8": coarse if wrong else base.copy()}


@pytest.mark.parametrize(("wrong", "precision"), [(0, "int8"), (3, "int8"), (5, "fp32"), (150, "fp32")])
def test_int8_is_kept_only_where_it_loses_at_most_what_is_allowed(wrong: int, precision: str) -> None:
    found = compare_precisions(_Judge(), _held_out(wrong), PARAMS)
    lost = 1 - 2 * (400 - wrong) / (400 - wrong + 400)
    assert found.measured is not None
    loss = found.measured.loss
    assert loss.value == pytest.approx(lost, abs=1e-6)
    assert loss.low <= loss.value <= loss.high
    assert found.precision == precision
    assert len(found.differing) == wrong
    if wrong:
        assert found.differing[0] == RoutedDifferently("p0", "sql|email", "sql|email", "sql")
    assert read_precisions(found.to_json()) == found


def test_graded_outcomes_are_compared_by_the_quality_of_what_is_chosen() -> None:
    router, rows = _Judge(), 200
    router.policy = BestPolicy()
    held_out = _held_out(0, rows)
    for table in held_out.values():
        table["email"] = 0.1
    held_out["int8"].loc[:9, "email"] = 0.99
    graded = pd.concat(
        pd.DataFrame(
            {"prompt_id": held_out["fp32"]["prompt_id"][::-1], "candidate": name, "quality": quality, "cost": 0.1}
        )
        for name, quality in (("sql", 1.0), ("email", 0.25))
    )
    found = compare_precisions(router, held_out, PARAMS, graded)
    assert found.to_json()["quality"] == {"fp32": 1.0, "int8": pytest.approx(1 - 10 * 0.75 / rows)}
    assert found.precision == "fp32"
    assert [row.prompt_id for row in found.differing] == [f"p{i}" for i in range(10)]


def test_int8_can_be_switched_off_and_is_not_kept_unmeasured() -> None:
    off = OptimizeParams(int8=False, max_loss=1.0, training_rows=0)
    assert compare_precisions(_Judge(), _held_out(0), off).precision == "fp32"
    empty = {name: table.head(0) for name, table in _held_out(0).items()}
    assert compare_precisions(_Judge(), empty, PARAMS).precision == "fp32"


@pytest.mark.parametrize("system", ["linear", "knn", "clusters", "classifier"])
def test_each_system_is_measured_in_int8_on_rows_that_its_fold_did_not_see(system: str, tiny_encoder: Path) -> None:
    params = FinetuningParams(encoder=str(tiny_encoder), max_tokens=24, epochs=2, batch_size=8, folds=2)
    outcomes = two_agents()
    folds = np.arange(len(outcomes)) % 2
    folds[:2] = -1
    router = new_router(system, params, seed=7)
    fitted = router.fit(outcomes, folds, int8=lambda encoder: quantised(encoder, 1))
    assert fitted.int8 is not None
    assert np.isnan(fitted.held_out[:2]).all()
    assert np.isnan(fitted.int8[:2]).all()
    difference = np.abs(fitted.held_out[2:] - fitted.int8[2:]).max()
    assert difference < 0.3
    assert difference > 0 or system == "clusters"  # a vector that moves a little mostly stays in its cluster


def test_the_nearest_rows_lead_back_by_id_and_label(tmp_path: Path) -> None:
    rows = training_index_of(
        np.array([[2, 0], [1, 1], [0, 3]], np.float32), ["a", "b", "c"], [("sql",), ("sql", "email"), ()]
    )
    rows.save(tmp_path)
    again = TrainingIndex.load(tmp_path)
    assert again is not None
    found = again.nearest(np.array([1, 0], np.float32), 2)
    assert [(n.prompt_id, n.agents, n.cosine) for n in found] == [("a", ("sql",), 1.0), ("b", ("sql", "email"), 0.7071)]
    assert len(again.nearest(np.array([1, 0], np.float32), 9)) == 3
    assert TrainingIndex.load(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "damage", [lambda content: content[:20], lambda _: b"", lambda content: b"\xff" * len(content)]
)
def test_damaged_rows_are_refused(tmp_path: Path, damage: Any) -> None:
    training_index_of(np.ones((2, 2), np.float32), ["a", "b"], [(), ()]).save(tmp_path)
    path = tmp_path / TRAINING_ROWS
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(VerificationFailed, match="damaged"):
        TrainingIndex.load(tmp_path)
