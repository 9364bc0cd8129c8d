"""What `run.device` promises, on a real GPU: the same bytes again, and a router that a CPU reads the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import planted_aptitude
import pytest
import torch

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.smollm2.packaged import SMOLLM2
from pipeline.routers.aptitude.language_model.reader import LanguageModelReader
from pipeline.routers.base.settings import AptitudeParams, FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.fitting import fit_router
from pipeline.routers.systems import open_router
from pipeline.routers.tags.generator import TagGenerator
from pipeline.runtime.device import device, use_device
from pipeline.runtime.reproducibility import fingerprint, pin

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
WORDS = {
    "translation": "translate this letter into Czech",
    "sql": "write a query that counts rows",
    "travel": "book a train",
}
ASKED = ["put this into Czech", "count the rows of the table", "a train to Brno and the letter in Czech"]


@pytest.fixture(autouse=True)
def _on_the_gpu() -> Iterator[None]:
    pin(7, 1, "cuda")
    yield
    use_device("cpu")


def fitted() -> CalibratedRouter:
    agents, prompts = tuple(WORDS), 60
    quality = np.eye(len(agents), dtype=np.float32)[np.arange(prompts) % len(agents)]
    quality[::10, 0] = 1.0
    texts = tuple(f"{WORDS[agents[row % len(agents)]]}, number {row}" for row in range(prompts))
    cost = np.full_like(quality, np.nan)
    outcomes = Outcomes(tuple(map(str, range(prompts))), texts, agents, quality, cost, is_labels=True)
    return fit_router("classifier", outcomes, FinetuningParams(epochs=3), seed=7)


def test_a_classifier_is_trained_there_to_the_same_bytes_and_answers_alike_on_a_cpu(tmp_path: Path) -> None:
    first, second = fitted(), fitted()
    assert device() == "cuda"
    assert first.predict(ASKED).quality.tobytes() == second.predict(ASKED).quality.tobytes()
    first.save(tmp_path / "router")
    use_device("cpu")
    on_cpu = open_router(tmp_path / "router").predict(ASKED)
    np.testing.assert_allclose(on_cpu.quality, first.predict(ASKED).quality, atol=0.01)
    np.testing.assert_allclose(on_cpu.quality, fitted().predict(ASKED).quality, atol=0.2)
    assert fingerprint(1, "cuda")["gpu"] == torch.cuda.get_device_name()


def test_a_language_model_reads_and_writes_there() -> None:
    found = []
    for _ in range(2):
        reader = LanguageModelReader(AptitudeParams(variant="full", steps=3, step_candidates=2, step_prompts=2))
        reader.fit(planted_aptitude.specialists(), seed=7)
        found.append(reader.losses)
    assert found[0] == found[1]
    assert np.isfinite(found[0]).all()
    tags = TagGenerator(SMOLLM2).tags(["Translate this letter into Czech."])
    assert len(tags) == 1
