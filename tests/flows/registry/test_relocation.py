"""Addresses in MLflow's tables, after the project that they lie in was copied or moved."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from made_versions import MadeProject

from flows.registry.relocation import ArtifactRoot, relocate_rows
from flows.registry.versions import Versions, opened
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError

ROOT = ArtifactRoot("file:///old/var/artifacts", "file:///new/var/artifacts")


@pytest.mark.parametrize(
    ("recorded", "here"),
    [
        ("file:///old/var/artifacts/models/1/artifacts", "file:///new/var/artifacts/models/1/artifacts"),
        ("file:///old/var/artifacts", "file:///new/var/artifacts"),
        ("file:///old/var/artifacts-of-others/1", "file:///old/var/artifacts-of-others/1"),
        ("s3://bucket/old/var/artifacts/1", "s3://bucket/old/var/artifacts/1"),
        ("file:///old/var/artifacts/old/var/artifacts/1", "file:///new/var/artifacts/old/var/artifacts/1"),
    ],
)
def test_only_what_lies_under_the_recorded_root_is_found_here(recorded: str, here: str) -> None:
    assert ROOT.here(recorded) == here


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of a project with a version; the original is still there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    MadeProject(tmp_path / "original").add(1)
    shutil.copytree(tmp_path / "original", tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def source(project: Project) -> str:
    return Versions(project, "agent-router").number("1").source


def test_a_copy_reads_its_own_files(copy: Project) -> None:
    with opened(Versions(copy, "agent-router").number("1")) as folder:
        assert folder.root.is_relative_to(copy.artifacts)


def test_rows_are_rewritten_once_and_then_say_what_was_read(copy: Project) -> None:
    with closing(sqlite3.connect(copy.mlflow_database)) as store:
        for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
            store.execute(f"create table {table} ({column})")
        store.execute("alter table model_versions add column storage_location")
    read = source(copy)
    assert relocate_rows(copy) == 2
    assert relocate_rows(copy) == 0
    with closing(sqlite3.connect(copy.mlflow_database)) as store:
        assert store.execute("select source from model_versions").fetchone() == (read,)


def test_a_store_elsewhere_is_rewritten_only_once_nothing_is_left_where_its_rows_lead(
    copy: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "registry.db"
    copy.mlflow_database.rename(elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    assert relocate_rows(copy) == 0
    with pytest.raises(InputError, match="which is not this project's; they stay"):
        relocate_rows(copy, moved_for_good=True)
