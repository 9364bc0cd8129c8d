"""What `make setup` brings back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from sandbox import copy_project


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
