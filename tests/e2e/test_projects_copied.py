"""A project that was copied, moved, restored or linked acts on its own files, and never on those it came from."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from removing import commit_data, run
from sandbox import Sandbox
from second_night import SecondNight

from flows.workspace.project import Project
from pipeline.routers.base.protocol import TRAINING_INDEX

ROUTE = ("route", "Translate this letter into Dutch.", "--json")


@pytest.fixture(scope="module")
def committed(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Two versions, the first in service, everything committed."""
    project = two_versions.copy_to(tmp_path_factory.mktemp("committed") / "project")
    commit_data(project)
    return project


@pytest.fixture
def original(committed: Sandbox, tmp_path: Path) -> Sandbox:
    return committed.copy_to(tmp_path / "original")


def indexes(project: Sandbox) -> list[Path]:
    return sorted((project.root / "var" / "artifacts").rglob(TRAINING_INDEX.file))


def require_sound(project: Sandbox) -> None:
    done = project.run("verify", "--all")
    assert done.returncode == 0, done.stderr


def test_what_is_done_in_a_copy_leaves_the_original_as_it_was(
    original: Sandbox, second_night: SecondNight, tmp_path: Path
) -> None:
    copy = original.copy_to(tmp_path / "copy")
    kept, before = indexes(original), original.digest()
    run(copy, "promote", "2", "--reason", "better")
    run(copy, "forget", second_night.relabelled, "--reason", "deletion request", "--erase")
    require_sound(copy)
    assert not indexes(copy)
    assert len(kept) == 2
    assert original.digest() == before
    run(original, *ROUTE[:2])


def _moved(project: Sandbox, to: Path) -> Sandbox:
    project.root.rename(to)
    return Sandbox(to)


def _restored(project: Sandbox, to: Path) -> Sandbox:
    with tarfile.open(to.with_suffix(".tar"), "w") as backup:
        backup.add(project.root, "p")
    shutil.rmtree(project.root)
    with tarfile.open(to.with_suffix(".tar")) as backup:
        backup.extractall(to)  # without a filter, which older releases of Python 3.11 do not know
    return Sandbox(to / "p")


def _linked(project: Sandbox, to: Path) -> Sandbox:
    to.symlink_to(_moved(project, to.with_suffix(".real")).root)
    return Sandbox(to)


def _on_another_disk(project: Sandbox, to: Path) -> Sandbox:
    moved = _moved(project, to)
    disk = to.with_suffix(".disk")
    (to / "var").rename(disk)
    (to / "var").symlink_to(disk)
    return moved


@pytest.mark.parametrize("change", [_moved, _restored, _linked, _on_another_disk])
def test_a_project_goes_on_at_another_place(original: Sandbox, tmp_path: Path, change: Any) -> None:
    before = run(original, *ROUTE[:2])
    project = change(original, tmp_path / "another place")
    assert run(project, *ROUTE[:2]) == before
    require_sound(project)
    run(project, "promote", "2", "--reason", "better")
    assert "0 addresses" in project.run("doctor", "--relocate").stdout, "promoting had rewritten them"


def test_mlflows_own_readers_find_a_moved_version_after_relocate(
    original: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    project = _moved(original, tmp_path / "moved")
    place = {check["check"]: check for check in json.loads(project.run("doctor", "--json").stdout)}["place"]
    assert (place["state"], place["mend"]) == ("missing", "switchtender doctor --relocate")
    assert run(project, "doctor", "--relocate")["rows"] > 0
    mlflow.set_tracking_uri(f"sqlite:///{project.root / 'var' / 'mlflow.db'}")
    monkeypatch.chdir(project.root)  # whose public key is at hand there
    answer = mlflow.pyfunc.load_model("models:/agent-router@champion").predict(pd.DataFrame({"prompt": [ROUTE[1]]}))
    assert set(answer["agents"][0].split("|")) == set(run(project, *ROUTE[:2])["agents"])


def test_a_clone_that_was_given_a_var_finds_the_refs_again(original: Sandbox, tmp_path: Path) -> None:
    original.git("clone", "--quiet", str(original.root), str(tmp_path / "clone"))
    clone, before = Sandbox(tmp_path / "clone"), original.digest()
    shutil.copytree(original.root / "var", clone.root / "var", symlinks=True)
    assert "switchtender doctor" in run(clone, "status", expect=4)
    assert run(clone, "doctor", "--relocate")["missing"] == []
    require_sound(clone)
    assert original.digest() == before


def test_refs_that_are_nowhere_are_named(original: Sandbox, tmp_path: Path) -> None:
    project = _moved(original, tmp_path / "moved")
    project.git("update-ref", "-d", "refs/switchtender/records")
    (project.root / "var" / "home.txt").write_text("/nowhere\n")
    said = run(project, "doctor", "--relocate", expect=1)
    assert "refs/switchtender/records" in said
    assert "git fetch PATH" in said


def _store(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    env = copy.env() | {"MLFLOW_TRACKING_URI": Project(original.root).own_store}
    monkeypatch.setattr(Sandbox, "env", lambda self: env)


def _remote(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = f"['remote \"store\"']\n    url = {original.root / 'var' / 'dvc' / 'remote'}\n"
    (copy.root / ".dvc" / "config.local").write_text(settings)


def _var(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copy.root / "var")
    (copy.root / "var").symlink_to(original.root / "var")


def _unclaimed_var(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    (original.root / "var" / "home.txt").unlink()
    _var(copy, original, monkeypatch)


def _worktree(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copy.root / ".git")
    linked = copy.root.with_name("linked")
    original.git("worktree", "add", "--quiet", "--no-checkout", "--detach", str(linked))
    (linked / ".git").rename(copy.root / ".git")
    copy.git("reset", "--quiet")


def _runs(copy: Sandbox, original: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copy.root / "var" / "runs")
    (copy.root / "var" / "runs").symlink_to(original.root / "var" / "runs")


@pytest.mark.parametrize(
    ("lead_back", "expect", "said"),
    [
        (_store, 2, "unset MLFLOW_TRACKING_URI"),
        (_remote, 2, "change its url in .dvc/config.local"),
        (_var, 2, "of another project"),
        (_unclaimed_var, 2, "of another project"),
        (_worktree, 2, "is a git worktree"),
        (_runs, 1, "lies outside this project"),
    ],
)
def test_a_setting_or_a_link_that_leads_back_is_refused(
    original: Sandbox, second_night: SecondNight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    lead_back: Any, expect: int, said: str,
) -> None:  # fmt: skip
    run(original, "doctor", "--relocate")
    copy = original.copy_to(tmp_path / "copy")
    lead_back(copy, original, monkeypatch)
    before = original.digest()
    erased = run(copy, "forget", second_night.relabelled, "--reason", "r", "--erase", expect=expect)
    assert said in erased
    assert original.digest() == before
