"""What is new for a night: a change in a room that a stage names, and nothing that no stage reads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox import ROOT, Sandbox

from flows.workspace.identity import identify
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import AGENTS, MODELS

READ_BY_NO_STAGE = {
    "the web page": "pipeline/serving/page/rendering.py",
    "an importer": "pipeline/importers/routerdc.py",
    "a template of a report": "pipeline/reports/templates/report.html.j2",
    "a template of the page": "pipeline/serving/page/templates/route.html.j2",
    "what makes a report": "pipeline/reports/night_report.py",
    "the test run of a candidate": "pipeline/onboarding/aptitude_run.py",
    "a document": "docs/serving.md",
    "the flow": "flows/night/nightly.py",
    "the command line": "switchtender/show.py",
}
READ_BY_A_STAGE = {
    "a stage": "pipeline/stages/train.py",
    "a router": "pipeline/routers/classifier.py",
    "a gate": "pipeline/gating/agent_gates.py",
    "a metric": "pipeline/metrics/multilabel.py",
    "an empty package file": "pipeline/routers/__init__.py",
    "the pinned packages": "constraints.txt",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The project's code and data in a repository of its own, with no set-up: identity reads files and git alone."""
    sandbox = Sandbox(tmp_path_factory.mktemp("identity") / "project")
    ignored = shutil.ignore_patterns("__pycache__", "remote")
    for name in ("pipeline", "flows", "switchtender", "data", "docs"):
        shutil.copytree(ROOT / name, sandbox.root / name, ignore=ignored)
    for name in ("dvc.yaml", "params.yaml", "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / name, sandbox.root / name)
    (sandbox.root / "data" / "prompts.csv").write_text("prompt_id,prompt,agents\n")
    sandbox.git("init", "--quiet")
    sandbox.git("add", "-A")
    sandbox.git("commit", "--quiet", "-m", "the project")
    return sandbox


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_code_that_git_was_told_not_to_look_at_is_refused(project: Sandbox, flag: str) -> None:
    project.git("update-index", flag, "flows/setup.py")
    with pytest.raises(InputError, match=r"flows/setup.py is hidden from git's sight"):
        identify(Project(project.root))
    project.git("update-index", flag.replace("--", "--no-"), "flows/setup.py")


def test_code_that_is_excluded_is_refused_and_what_python_makes_is_not(project: Sandbox) -> None:
    exclude, hidden = project.root / ".git" / "info" / "exclude", project.root / "pipeline" / "extra.py"
    exclude.write_text("extra.py\n")
    hidden.write_text("")
    with pytest.raises(InputError, match=r"pipeline/extra.py is changed and not committed"):
        identify(Project(project.root))
    hidden.unlink()
    (project.root / "pipeline" / "__pycache__").mkdir()
    (project.root / "pipeline" / "__pycache__" / "extra.pyc").write_bytes(b"")
    identify(Project(project.root))


def identities(sandbox: Sandbox) -> dict[str, str]:
    project = Project(sandbox.root)
    return {track.name: identify(project.on(track)).digest for track in (AGENTS, MODELS)}


def change(sandbox: Sandbox, name: str) -> None:
    """A comment more at the end of a file, as a commit."""
    with (sandbox.root / name).open("a", encoding="utf-8") as file:
        file.write("\n# a comment\n")
    sandbox.git("add", "-A")
    sandbox.git("commit", "--quiet", "-m", f"a comment in {name}")


@pytest.mark.parametrize("what", READ_BY_NO_STAGE)
def test_a_change_that_no_stage_reads_makes_no_night(project: Sandbox, what: str) -> None:
    before = identities(project)
    change(project, READ_BY_NO_STAGE[what])
    assert identities(project) == before


@pytest.mark.parametrize("what", READ_BY_A_STAGE)
def test_a_change_that_a_stage_reads_makes_a_night(project: Sandbox, what: str) -> None:
    before = identities(project)
    change(project, READ_BY_A_STAGE[what])
    after = identities(project)
    assert after["agents"] != before["agents"]


def test_a_stage_of_one_track_is_nothing_to_the_other(project: Sandbox) -> None:
    before = identities(project)
    change(project, "pipeline/stages/models_gate.py")
    after = identities(project)
    assert after["agents"] == before["agents"]
    assert after["models"] != before["models"]


def test_a_stage_written_otherwise_in_dvc_yaml_makes_a_night_of_its_track(project: Sandbox) -> None:
    before = identities(project)
    path = project.root / "dvc.yaml"
    path.write_text(
        path.read_text().replace(
            "cmd: python -m pipeline.stages.models_gate", "cmd: python -B -m pipeline.stages.models_gate"
        )
    )
    project.git("commit", "--quiet", "-am", "another command")
    after = identities(project)
    assert after["agents"] == before["agents"]
    assert after["models"] != before["models"]


def test_code_that_is_not_committed_is_refused(project: Sandbox) -> None:
    place = project.root / "pipeline" / "stages" / "train.py"
    kept = place.read_text()
    place.write_text(kept + "# by the way\n")
    with pytest.raises(InputError, match=r"pipeline/stages/train\.py is changed and not committed"):
        identify(Project(project.root))
    place.write_text(kept)


def test_every_planted_change_names_a_file_of_the_project() -> None:
    assert all(Path(ROOT / name).is_file() for name in (READ_BY_NO_STAGE | READ_BY_A_STAGE).values())


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("port: ", "port: 1", set()),
        ("retries: ", "retries: 1", set()),
        ("min_consistency: ", "min_consistency: 0.1", {"agents"}),
    ],
)
def test_a_setting_counts_where_a_stage_of_the_track_reads_it(
    project: Sandbox, old: str, new: str, changed: set[str]
) -> None:
    before = identities(project)
    path = project.root / "params.yaml"
    kept = path.read_text()
    line = next(line for line in kept.splitlines() if line.strip().startswith(old))
    indent = line[: len(line) - len(line.lstrip())]
    path.write_text(kept.replace(line, f"{indent}{new}  # otherwise"))
    after = identities(project)
    path.write_text(kept)
    assert {name for name in before if before[name] != after[name]} == changed


def _set_models(sandbox: Sandbox, **train: Any) -> str:
    """Change the models' train section in place; returns params.yaml as it was."""
    path = sandbox.root / "params.yaml"
    kept = path.read_text()
    content = yaml.safe_load(kept)
    content["models"]["train"] |= train
    path.write_text(yaml.safe_dump(content))
    return kept


def test_another_model_under_the_same_name_makes_a_night_of_the_track_that_names_it(
    project: Sandbox, tiny_encoder: Path, tmp_path: Path
) -> None:
    model, template = shutil.copytree(tiny_encoder, tmp_path / "model"), tmp_path / "template.yaml"
    template.write_text("user: '{query}'\nnew_tokens: 5\n")
    kept = _set_models(project, router="tags", tags={"generator": str(model), "prompt": str(template)})
    found = [identities(project)]
    template.write_text("user: 'Tags of {query}'\nnew_tokens: 5\n")
    found.append(identities(project))
    with (model / "config.json").open("a") as file:
        file.write(" ")
    found.append(identities(project))
    (project.root / "params.yaml").write_text(kept)
    assert len({one["models"] for one in found}) == 3
    assert len({one["agents"] for one in found}) == 1


def test_a_night_needs_a_model_of_a_hub_pinned(project: Sandbox) -> None:
    kept = _set_models(project, router="tags", tags={"generator": "someone/model"})
    try:
        with pytest.raises(InputError, match=r"write someone/model@<commit> in models\.train\.tags\.generator"):
            identities(project)
    finally:
        (project.root / "params.yaml").write_text(kept)


def test_a_store_that_is_no_file_of_ours_counts_as_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not Project(tmp_path).has_store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://localhost/mlflow")
    assert Project(tmp_path).has_store
