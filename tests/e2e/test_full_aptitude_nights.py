"""A night whose model router is `aptitude` in its full variant: trained, gated, registered, audited, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted_models import ask, planted_project
from sandbox import Sandbox

# Fast twins: test_model_nights.py (the same track, another router), and training, saving and training again of the same
# reader in tests/pipeline/routers/aptitude/test_language_model.py.
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_causal: Path, prefect_address: str
) -> Sandbox:
    """Random weights and three steps learn nothing: the gates of quality are opened."""
    full = {
        "variant": "full", "language_model": str(tiny_causal), "capability_encoder": str(tiny_encoder),
        "model_tokens": 16, "tasks": 3, "shots": 8, "steps": 3, "step_candidates": 2, "step_prompts": 2,
    }  # fmt: skip
    return planted_project(
        tmp_path_factory.mktemp("full") / "a project", tiny_encoder, prefect_address,
        models__train__router="aptitude", models__train__aptitude=full,
        models__gate__margin=1.0, models__gate__judged=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(project: Sandbox) -> dict[str, Any]:
    return project.night()


def test_it_is_registered_and_its_models_are_audited(
    project: Sandbox, first: dict[str, Any], tiny_causal: Path
) -> None:
    assert (first["verdict"], first["version"]) == ("passed", "1")
    said = ask(project, "audit", "1", "--track", "models")
    assert str(tiny_causal) in str(said)
    assert len(ask(project, "route", "Compose a poem", "--track", "models")["agents"]) == 1


def test_it_is_replayed_to_the_byte(project: Sandbox, first: dict[str, Any]) -> None:
    assert ask(project, "replay", "1", "--track", "models")["verdict"] == "identical"
