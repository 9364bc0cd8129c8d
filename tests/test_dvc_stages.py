"""dvc.yaml is a page: each stage names the rooms that its imports reach."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dependencies import imported_files
from sandbox import ROOT

from flows.workspace.dvc_stages import own_stages
from pipeline.runtime.stage import ORDER
from pipeline.runtime.track import TRACKS, Track

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OWN_SECTION = {stage: {"run", stage.replace("models_", "models.")} for stage in DVC} | {
    "validate": {"validate"}, "lineage": set(),
    "models_validate": {"models.validate"}, "models_join": {"run"}, "models_lineage": set(),
}  # fmt: skip
FOLDER = {stage: f"var/models/{stage[7:]}" if stage.startswith("models_") else f"var/stages/{stage}" for stage in DVC}
ROOM = re.compile(r"pipeline/\w+")


def module_of(stage: dict[str, Any]) -> Path:
    found = re.fullmatch(r"python -m (pipeline\.stages\.\w+)( models)?", stage["cmd"])
    assert found
    return ROOT / (found.group(1).replace(".", "/") + ".py")


def code_deps(stage: dict[str, Any]) -> set[str]:
    return {dep for dep in stage["deps"] if dep.startswith("pipeline/")}


def reached(stage: dict[str, Any]) -> set[str]:
    """What a stage should name of the code: its own module, and each room that its imports reach."""
    own = module_of(stage).relative_to(ROOT).as_posix()
    files = imported_files(module_of(stage), ROOT)
    rooms = {match.group() for file in files if (match := ROOM.match(file)) and file.count("/") > 1}
    return {own} | (rooms - {"pipeline/stages"})


def test_it_fits_on_a_page() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", DVC)
def test_a_stage_names_its_module_and_each_room_that_its_imports_reach(name: str) -> None:
    assert code_deps(DVC[name]) == reached(DVC[name])


@pytest.mark.parametrize("name", DVC)
def test_a_stage_module_stands_under_the_stage_name(name: str) -> None:
    assert module_of(DVC[name]).stem in (name, name.removeprefix("models_"))


def test_each_named_room_holds_code_and_every_stage_module_is_a_stage() -> None:
    named = {dep for stage in DVC.values() for dep in code_deps(stage)}
    assert all((ROOT / dep).is_file() or list((ROOT / dep).rglob("*.py")) for dep in named)
    modules = {path for path in (ROOT / "pipeline" / "stages").glob("*.py") if path.stem != "__init__"}
    assert modules == {module_of(stage) for stage in DVC.values()}


@pytest.mark.parametrize("track", TRACKS.values(), ids=TRACKS)
def test_the_stages_of_a_track_stand_in_the_order_of_the_night(track: Track) -> None:
    names = [name.removeprefix(track.prefix) for name in own_stages(DVC, track)]
    assert names == [name for name in ORDER if name in names]


def test_an_import_through_another_module_is_found() -> None:
    found = imported_files(ROOT / "pipeline" / "stages" / "train.py", ROOT)
    assert {"pipeline/encoders/sentence_encoder.py", "pipeline/routers/__init__.py"} <= found
    assert "pipeline/reports/night_report.py" not in found


def test_a_room_that_is_reached_and_not_named_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "pipeline" / "stages").mkdir(parents=True)
    (tmp_path / "pipeline" / "reports").mkdir()
    (tmp_path / "pipeline" / "reports" / "page.py").write_text("")
    module = tmp_path / "pipeline" / "stages" / "split.py"
    module.write_text("def late():\n    from pipeline.reports.page import x\n")
    assert "pipeline/reports/page.py" in imported_files(module, tmp_path)


@pytest.mark.parametrize("name", ["pipeline/__init__.py", "pipeline/stages/__init__.py"])
def test_a_package_that_no_stage_names_holds_no_code(name: str) -> None:
    (docstring,) = ast.parse((ROOT / name).read_text()).body
    assert isinstance(docstring, ast.Expr)


def test_what_running_leaves_in_a_room_is_not_hashed_with_it() -> None:
    assert {"__pycache__/", "*.py[cod]"} <= set((ROOT / ".dvcignore").read_text().splitlines())


@pytest.mark.parametrize("name", DVC)
def test_a_stage_sees_its_own_settings(name: str) -> None:
    assert set(DVC[name].get("params", [])) == OWN_SECTION[name]


@pytest.mark.parametrize("name", DVC)
def test_a_stage_writes_its_summary_and_its_fates(name: str) -> None:
    folder = Path(FOLDER[name])
    assert f"{folder}/summary.json" in DVC[name]["metrics"]
    if folder.name not in ("optimize", "gate", "lineage"):
        assert f"{folder.parent}/fates/{folder.name}.parquet" in DVC[name]["outs"]


@pytest.mark.parametrize("name", DVC)
def test_a_stage_that_reads_prompts_by_a_published_model_sees_another_as_another(name: str) -> None:
    """A night writes down which they are; without it DVC would take from its cache what the former one made."""
    track = TRACKS["models" if name.startswith("models_") else "agents"]
    section: Any = yaml.safe_load((ROOT / "params.yaml").read_text())
    for part in f"{track.section}{name.removeprefix(track.prefix)}".split("."):
        section = section.get(part) or {}
    assert (track.base_models.as_posix() in DVC[name]["deps"]) == ("encoder" in section)


def test_no_two_stages_write_one_file() -> None:
    written = [out for stage in DVC.values() for out in stage["outs"] + stage["metrics"]]
    assert len(written) == len(set(written))


def test_no_stage_reads_what_the_service_was_told() -> None:
    """Feedback reaches people, who may review a label; by itself it teaches nothing."""
    read = {dep for stage in DVC.values() for dep in stage["deps"]}
    assert not {dep for dep in read if "serving" in dep or "feedback" in dep}
