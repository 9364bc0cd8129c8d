"""Running git: a person's settings neither sign nor stop what nights commit; files keep their names and bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.audit.audit import _in_git
from flows.workspace.git import git, git_list
from flows.workspace.project import Project
from pipeline.runtime.tables import sha256_file
from pipeline.versions.audit import CHANGED, THERE
from pipeline.versions.provenance import DATA, Material


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of a person whose commits are signed, and looked through by a hook."""
    hooks, settings = tmp_path / "hooks", tmp_path / "gitconfig"
    hooks.mkdir()
    for name in ("pre-commit", "pre-push"):
        (hooks / name).write_text("#!/bin/sh\necho refused by the hook >&2\nexit 1\n")
        (hooks / name).chmod(0o755)
    settings.write_text(f"[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    place = tmp_path / "project"
    place.mkdir()
    git(place, "init", "--quiet")
    return place


def test_a_persons_key_and_hooks_are_for_the_persons_commits(folder: Path) -> None:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "of a night")
    git(folder, "push", "--quiet", ".", "HEAD:refs/switchtender/runs/nightly-1")
    assert git(folder, "rev-parse", "refs/switchtender/runs/nightly-1") == git(folder, "rev-parse", "HEAD")


def test_files_are_listed_by_the_names_that_they_have(folder: Path) -> None:
    (folder / "größe.csv").write_text("a\n")
    assert git_list(folder, "ls-files", "-co") == ["größe.csv"]
    assert git_list(folder, "status", "--porcelain", "-uall") == ["?? größe.csv"]


def test_a_table_that_is_no_text_is_held_against_its_bytes(folder: Path) -> None:
    table = folder / "data" / "outcomes.parquet"
    table.parent.mkdir()
    table.write_bytes(b"PAR1\xff\xfe\x00PAR1")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "a table")
    for digest, state in ((sha256_file(table), THERE), ("0" * 64, CHANGED)):
        material = Material("data/outcomes.parquet", {"sha256": digest}, DATA)
        assert _in_git(Project(folder), git(folder, "rev-parse", "HEAD"), material) == state
