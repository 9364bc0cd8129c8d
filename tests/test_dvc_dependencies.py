"""dvc.yaml says of each stage what its module really reads, so that no change of code goes unnoticed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dependencies import imported_files

ROOT = Path(__file__).resolve().parent.parent
DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OWN_SECTION = {stage: {"run", stage.replace("models_", "models.")} for stage in DVC} | {
    "validate": {"validate"}, "lineage": set(),
    "models_validate": {"models.validate"}, "models_join": {"run"}, "models_lineage": set(),
}  # fmt: skip
FOLDER = {stage: f"var/models/{stage[7:]}" if stage.startswith("models_") else f"var/stages/{stage}" for stage in DVC}


def module_of(stage: dict[str, Any]) -> Path:
    found = re.fullmatch(r"python -m (pipeline\.\w+)( models)?", stage["cmd"])
    assert found
    return ROOT / (found.group(1).replace(".", "/") + ".py")


def code_deps(stage: dict[str, Any]) -> set[str]:
    return {dep for dep in stage["deps"] if dep.startswith("pipeline/") and dep.endswith(".py")}


@pytest.mark.parametrize("name", DVC)
def test_a_stage_depends_on_all_that_its_module_imports(name: str) -> None:
    assert code_deps(DVC[name]) == imported_files(module_of(DVC[name]), ROOT)


@pytest.mark.parametrize("name", DVC)
def test_a_dependency_that_is_left_out_is_noticed(name: str) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    start = text.index(f"\n  {name}:\n")
    reached = imported_files(module_of(DVC[name]), ROOT)
    for dep in code_deps(DVC[name]):
        without = text[:start] + text[start:].replace(f"      - {dep}\n", "", 1)
        stage = yaml.safe_load(without)["stages"][name]
        assert reached - code_deps(stage) == {dep}


def test_an_import_through_another_module_is_found() -> None:
    found = imported_files(ROOT / "pipeline" / "training.py", ROOT)
    assert {
        "pipeline/encoders/sentence_encoder.py",
        "pipeline/routers/__init__.py",
        "pipeline/runtime/errors.py",
    } <= found
    assert "pipeline/reports/night_report.py" not in found


@pytest.mark.parametrize("name", DVC)
def test_a_stage_sees_its_own_settings(name: str) -> None:
    assert set(DVC[name].get("params", [])) == OWN_SECTION[name]


@pytest.mark.parametrize("name", DVC)
def test_a_stage_writes_its_summary_and_its_fates(name: str) -> None:
    folder = Path(FOLDER[name])
    assert f"{folder}/summary.json" in DVC[name]["metrics"]
    if folder.name not in ("optimize", "gate", "lineage"):
        assert f"{folder.parent}/fates/{folder.name}.parquet" in DVC[name]["outs"]


def test_no_two_stages_write_one_file() -> None:
    written = [out for stage in DVC.values() for out in stage["outs"] + stage["metrics"]]
    assert len(written) == len(set(written))
