"""What `make setup` brings back, and DVC's own commands in a fresh clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from sandbox import ROOT, copy_project


def test_what_make_distclean_took_from_the_cache_comes_back(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    shutil.rmtree(project.root / "var")
    table = project.root / "data" / "prompts.csv"
    table.write_text(table.read_text() + "\n")  # somebody's change is left alone
    changed = table.read_bytes()
    subprocess.run([sys.executable, "-m", "flows.setup"], cwd=project.root, env=project.env(), check=True)
    md5 = yaml.safe_load((project.root / "data" / "prompts.csv.dvc").read_text())["outs"][0]["md5"]
    assert (project.root / "var/dvc/cache/files/md5" / md5[:2] / md5[2:]).is_file()
    assert table.read_bytes() == changed


def test_dvc_pulls_the_dataset_into_a_fresh_clone_without_trouble_and_plots_leave_nothing(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    shutil.rmtree(project.root / "var")
    (project.root / "data" / "prompts.csv").unlink()
    before = project.git("status", "--porcelain")
    command = [sys.executable, "-m", "dvc"]
    assert "`dvc pull data/prompts.csv.dvc`" in (ROOT / "README.md").read_text()
    for arguments in (("pull", "data/prompts.csv.dvc"), ("pull", "--allow-missing"), ("plots", "diff")):
        done = subprocess.run(
            [*command, *arguments], cwd=project.root, env=project.env(), check=True, capture_output=True, text=True
        )
        assert "ERROR" not in done.stdout + done.stderr
    assert (project.root / "data" / "prompts.csv").is_file()
    assert project.git("status", "--porcelain") == before
