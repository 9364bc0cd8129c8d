"""A version's card for people."""

from __future__ import annotations

import yaml

from pipeline.gating.results import GateResult
from pipeline.metrics.bootstrap import Estimate
from pipeline.reports.model_card import model_card
from pipeline.runtime.track import AGENTS, MODELS
from pipeline.versions.provenance import DATA, Build, Material

MATERIALS = (Material("data/prompts.csv", {"sha256": "a" * 64}, DATA),)
BUILD = Build("nightly-1", "d" * 40, {}, {}, MATERIALS, "2026-01-01T00:00:00+00:00", "2026-01-01T00:10:00+00:00", "1.0")


def test_a_card_has_metadata_for_machines_and_figures_with_intervals_for_people() -> None:
    gates = (
        GateResult("micro_f1", 0.87, 0.8, "passed", "at least the floor"),
        GateResult("cost_usd", 0.00012, None, "passed", "no ceiling is set"),
    )
    figures = {"micro_f1": Estimate(0.87, 0.8, 0.9), "unknown": Estimate(float("nan"), float("nan"), float("nan"))}
    card = model_card(BUILD, AGENTS, figures, gates, {"lineage": {"taught": 414}})
    _, head, body = card.split("---\n", 2)
    (result,) = yaml.safe_load(head)["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "micro_f1", "value": 0.87}]
    for line in (
        "| micro_f1 | 0.8700 | 0.8000 to 0.9000 |",
        "| micro_f1 | 0.870 | 0.800 | passed |",
        "| cost_usd | 0.00012 | none | not asked |",
        "414 rows taught it",
    ):
        assert line in body
    assert f"`data/prompts.csv`, sha256 `{'a' * 64}`" in body


def test_a_card_says_how_its_own_track_chooses() -> None:
    agents, models = (model_card(BUILD, track, {}, (), {"lineage": {"taught": 414}}) for track in (AGENTS, MODELS))
    assert "Its probabilities are calibrated on held-out folds." in agents
    assert "threshold" not in models
    assert "It estimates the quality of each candidate's answer" in models
