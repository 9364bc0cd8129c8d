"""The laws between rooms: each contract in pyproject.toml is seen to fail where it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import ROOT

BROKEN = {
    "a module outside every room": ("pipeline/loose.py", "", "the pipeline's rooms"),
    "a flow outside every room": ("flows/loose.py", "", "the flows' rooms"),
    "a router outside every room": ("pipeline/routers/loose.py", "", "the routers' rooms"),
    "a room of the service that nobody planned": ("pipeline/serving/loose.py", "", "the service's rooms"),
    "an import upward": ("pipeline/metrics/loose.py", "import pipeline.routers.systems", "the pipeline's rooms"),
    "an import upward among flows": ("flows/workspace/loose.py", "import flows.night.nightly", "the flows' rooms"),
    "a module of the command line that no layer names": ("switchtender/loose.py", "", "the command line's modules"),
    "a verb that imports a verb": (
        "switchtender/verbs/loose.py",
        "import switchtender.verbs.fit",
        "verbs know nothing of each other",
    ),
    "the pipeline knows a flow": ("pipeline/reports/loose.py", "import flows.status", "the command line is above"),
    "an import between siblings": (
        "pipeline/policies/loose.py",
        "import pipeline.gating.results",
        "the pipeline's rooms",
    ),
    "a stage that imports a stage": ("pipeline/stages/loose.py", "import pipeline.stages.split", "stages know nothing"),
    "a stage imported from a flow": ("flows/night/loose.py", "import pipeline.stages.split", "nothing imports a stage"),
    "MLflow in the wrong room": ("flows/removal/loose.py", "import mlflow", "only the registry imports MLflow"),
    "MLflow in the pipeline, late": (
        "pipeline/versions/loose.py",
        "def late():\n    from mlflow import MlflowClient",
        "only the registry imports MLflow",
    ),
    "Prefect in the wrong room": (
        "flows/service/loose.py",
        "from prefect import flow",
        "only nights, promotion and the schedule",
    ),
    "DVC in the wrong room": ("flows/removal/loose.py", "import dvc.repo", "only the workspace imports DVC"),
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with its contracts, to break."""
    root = tmp_path_factory.mktemp("contracts")
    for name in ("pipeline", "flows", "switchtender"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


def broken_contracts(root: Path) -> list[str]:
    """The names of the contracts that do not hold."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return [line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")]


def test_the_contracts_hold(code: Path) -> None:
    assert broken_contracts(code) == []


@pytest.mark.parametrize("what", BROKEN)
def test_a_planted_break_is_seen_by_its_contract(code: Path, what: str) -> None:
    name, content, contract = BROKEN[what]
    (code / name).write_text(f"{content}\n")
    found = broken_contracts(code)
    (code / name).unlink()
    assert [broken for broken in found if broken.startswith(contract)], found
