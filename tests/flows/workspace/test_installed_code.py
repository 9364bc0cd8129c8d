"""The record of the installed package: whole, brought in line, and named by the stages in place of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from sandbox import ROOT

from flows.workspace import installed_code
from flows.workspace.installed_code import CODE, as_dependencies, is_installed, record, records, require_recorded
from pipeline.runtime.errors import InputError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of a few files."""
    place = tmp_path / "site-packages"
    for name in ("pipeline/__init__.py", "pipeline/data/rows.py", "pipeline/data/more/x.py", "pipeline/stages/train.py",
                 "pipeline/data/__pycache__/rows.pyc", "flows/setup.py", "switchtender/app.py"):  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"# {name}\n")
    monkeypatch.setattr(installed_code, "installation", lambda: place)
    return place


@pytest.fixture
def project(tmp_path: Path, package: Path) -> Path:
    """A project without code of its own, in line with the installation."""
    (tmp_path / "project" / CODE).mkdir(parents=True)
    record(tmp_path / "project")
    return tmp_path / "project"


def test_each_file_of_the_package_stands_in_one_record(package: Path) -> None:
    found = {name: [line.partition("  ")[2] for line in text.splitlines()] for name, text in records().items()}
    assert found == {
        "code/flows.sha256": ["flows/setup.py"],
        "code/pipeline/__init__.sha256": ["pipeline/__init__.py"],
        "code/pipeline/data.sha256": ["pipeline/data/more/x.py", "pipeline/data/rows.py"],
        "code/pipeline/stages/train.sha256": ["pipeline/stages/train.py"],
        "code/switchtender.sha256": ["switchtender/app.py"],
    }


def test_another_release_is_recorded_and_what_it_lacks_is_not(project: Path, package: Path) -> None:
    require_recorded(project)
    before = {path: path.stat().st_mtime_ns for path in (project / CODE).rglob("*.sha256")}
    (package / "pipeline/data/rows.py").write_text("# newer\n")
    (package / "pipeline/stages/train.py").unlink()
    with pytest.raises(InputError, match=r"pipeline/data/rows\.py differs; install that release again"):
        require_recorded(project)
    record(project)
    require_recorded(project)
    after = {path: path.stat().st_mtime_ns for path in (project / CODE).rglob("*.sha256")}
    changed = {path.name for path in before if after.get(path) != before[path]}
    assert changed == {"data.sha256", "train.sha256"}


def test_a_project_with_code_of_its_own_records_nothing(tmp_path: Path) -> None:
    for folder in ("pipeline", "code"):
        (tmp_path / folder).mkdir()
    assert not is_installed(tmp_path)
    record(tmp_path)
    require_recorded(tmp_path)
    assert list((tmp_path / "code").iterdir()) == []


def test_every_stage_names_the_record_of_what_it_named() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    own, installed = (yaml.safe_load(one)["stages"] for one in (text, as_dependencies(text)))
    known = records()
    for name, stage in own.items():
        deps = installed[name]["deps"]
        code = [dep for dep in stage["deps"] if dep.startswith("pipeline/")]
        assert [dep for dep in deps if dep.startswith("pipeline/")] == []
        assert [dep for dep in deps if dep in known] == [f"code/{dep.removesuffix('.py')}.sha256" for dep in code]
        assert {key: value for key, value in installed[name].items() if key != "deps"} == {
            key: value for key, value in stage.items() if key != "deps"
        }
