"""The service counts prompts that match no task of a version that can tell, and the journal marks each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from small_service import ASKED, Shelf, Small, running
from threadpoolctl import threadpool_limits

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tasks.router import TasksScorer
from pipeline.serving.engine.decision_journal import DECISIONS

KNOWN = ("add the numbers {} and {}, how much is that", "Write a sad poem about autumn leaves, verse {} of {}")
STRANGE = "ΔΕΝ καταλαβαίνω τίποτα από όλα αυτά που γράφονται εδώ"


@pytest.fixture(scope="module")
def counting(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A service on a small tasks router."""
    quality = np.eye(2, dtype=np.float32)[np.arange(60) % 2]
    texts = tuple(KNOWN[i % 2].format(i, i % 7) for i in range(60))
    ids = tuple(f"p{i}" for i in range(60))
    outcomes = Outcomes(ids, texts, ("adder", "poet"), quality, np.full_like(quality, np.nan), False)
    router = CalibratedRouter(TasksScorer(FrozenEmbedding(str(tiny_encoder), 64), 0))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        router.fit(outcomes, make_folds(outcomes, 3, 0))
    torch.set_num_threads(before)
    folder = tmp_path_factory.mktemp("tasks") / "1"
    router.save(folder)
    service = Small(Shelf({"1": folder}, pointing="1"), tmp_path_factory.mktemp("journal"))
    service.switch.poll()
    yield service
    service.close()


def entries(service: Small) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (service.folder / DECISIONS).read_text(encoding="ascii").splitlines()]


def counted(client: httpx.Client) -> list[str]:
    lines = client.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("switchtender_new_prompts_total")]


def test_new_prompts_are_counted_and_marked(counting: Small) -> None:
    with running(counting.app) as client:
        assert counted(client) == [], "nothing was asked of it yet"
        client.post("/v1/route", json={"prompt": KNOWN[0].format(900, 3)}).raise_for_status()
        assert counted(client) == ['switchtender_new_prompts_total{version="1"} 0.0']
        asked = {"prompts": [STRANGE, KNOWN[1].format(800, 2), STRANGE]}
        client.post("/v1/route", json=asked).raise_for_status()
        client.post("/v1/route", json={"prompt": STRANGE}).raise_for_status()
        assert counted(client) == ['switchtender_new_prompts_total{version="1"} 3.0'], "from the cache too"
    assert [entry["new"] for entry in entries(counting)] == [False, True, False, True, True]


def test_a_system_that_cannot_tell_says_nothing(client: httpx.Client, small: Small) -> None:
    client.post("/v1/route", json={"prompt": ASKED}).raise_for_status()
    assert counted(client) == []
    assert "new" not in entries(small)[-1]
