"""The learnt baselines: fitted on the router's own folds, each prompt embedded once, no data set seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.windows import TextEncoder
from pipeline.evaluation.recommendation import parts_of
from pipeline.evaluation.reference_strategies import LEARNT, RememberedEmbedding, learnt_predictions
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import crossvalidate
from pipeline.routers.systems import SYSTEMS

FOLDS = (np.arange(24) % 3).astype(np.int64)


@pytest.fixture(scope="module")
def table() -> Outcomes:
    random = np.random.default_rng(0)
    prompts = tuple(f"{'add the numbers' if i % 2 else 'write a poem about'} {i}" + " and so on" * 40 * (i % 3 == 0)
                    for i in range(24))  # fmt: skip
    quality = random.random((24, 2)).astype(np.float32)
    cost = np.tile(np.array([0.1, 0.2], np.float32), (24, 1))
    return Outcomes(prompts, prompts, ("a", "b"), quality, cost, False, datasets=("x",) * 24)


@pytest.fixture(scope="module")
def params(tiny_encoder: Path) -> FinetuningParams:
    return FinetuningParams(encoder=str(tiny_encoder), max_tokens=64)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", list(LEARNT))
def test_a_learnt_baseline_is_the_system_of_that_name_on_the_same_folds(
    name: str, table: Outcomes, params: FinetuningParams
) -> None:
    assert name in SYSTEMS
    found = learnt_predictions([name], table, parts_of(table, FOLDS), params, 7)[name]
    expected = crossvalidate(name, table, FOLDS, params, 7)
    np.testing.assert_allclose(found.quality, expected.quality, atol=1e-6)
    np.testing.assert_array_equal(found.cost, expected.cost)
    np.testing.assert_array_equal(found.chosen, expected.chosen)


@pytest.mark.usefixtures("one_thread")
def test_each_prompt_is_embedded_once_for_all_baselines_and_folds(
    table: Outcomes, params: FinetuningParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {"embed": [], "read": []}
    for name in asked:
        whole = getattr(TextEncoder, name)

        def counted(self: TextEncoder, prompts: Sequence[str], name: str = name, whole: object = whole) -> object:
            asked[name] += prompts
            return whole(self, prompts)  # type: ignore[operator]

        monkeypatch.setattr(TextEncoder, name, counted)
    learnt_predictions(["knn", "linear"], table, parts_of(table, FOLDS), params, 7)
    assert sorted(asked["embed"]) == sorted(asked["read"]) == sorted(table.prompts)


@pytest.mark.usefixtures("one_thread")
def test_a_remembered_reading_is_the_reading(table: Outcomes, params: FinetuningParams) -> None:
    fresh = FrozenEmbedding(params.encoder, params.max_tokens)
    remembered = RememberedEmbedding(params.encoder, params.max_tokens)
    remembered.read(table.prompts[5:12])
    for prompts in (table.prompts[:9], table.prompts[3:4], table.prompts[::-1]):
        one, other = fresh.read(prompts), remembered.read(prompts)
        np.testing.assert_allclose(other.vectors, one.vectors, atol=1e-6)
        np.testing.assert_array_equal(other.first, one.first)
        np.testing.assert_array_equal(other.tokens, one.tokens)
        assert one.windows.max() > 1
