"""What tests of removing ask of a project: its data, its state, and who holds a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from sandbox import Sandbox
from warm_command import run_warm


def commit_data(project: Sandbox, *tables: str) -> None:
    """Commit the dataset as it lies there, its object in the remote inside the repository; other tables likewise."""
    named = ("data/prompts.csv", *tables)
    dvc(project, "add", "-q", *named)
    dvc(project, "push", "-q", "-r", "dataset", "data/prompts.csv.dvc")
    project.git("add", "-A")
    project.git("commit", "--quiet", "--allow-empty", "-m", "data")


def dvc(project: Sandbox, *arguments: str) -> None:
    """Run DVC in the project."""
    env = project.env() | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(project.root / "var/dvc/site")}
    done = run_warm("dvc", arguments, project.root, env)
    assert done.returncode == 0, done.stderr


def run(project: Sandbox, *arguments: str, expect: int = 0) -> Any:
    """A verb's answer as JSON, or what it said on stderr where it is to fail."""
    done = project.run(*arguments, "--json")
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


def prompts(project: Sandbox) -> bytes:
    """The bytes of the dataset."""
    return (project.root / "data/prompts.csv").read_bytes()


def state(project: Sandbox) -> dict[str, Any]:
    """All that a refused or dry run must leave as it is, but for the mark that says whose `var` this is."""
    named = {path.relative_to(project.root): path for path in project.root.rglob("*") if path.is_file()}
    named.pop(Path("var/home.txt"), None)
    passing = {".git", "__pycache__", "tmp", "site"}
    contents = {
        name: path.read_bytes()
        for name, path in named.items()
        if passing.isdisjoint(name.parts) and path.suffix not in (".lock", ".db")
    }
    assert len(contents) > 100
    tags = [dict(version.tags) for version in project.versions()]
    return {"files": contents, "head": project.git("rev-parse", "HEAD"), "tags": tags}


def text_of(project: Sandbox, row: str) -> str:
    """A row's text in the dataset."""
    frame = pd.read_csv(project.root / "data/prompts.csv", dtype=str)
    return str(frame.loc[frame["prompt_id"] == row, "prompt"].iloc[0])


def holding(root: Path, text: str) -> list[str]:
    """Files that hold a text: Parquet by its text columns, all others by their bytes."""
    found = []
    for path in root.rglob("*"):
        if not path.is_file() or ".git" in path.parts:
            continue
        content = path.read_bytes()
        if content.startswith(b"PAR1"):
            frame = pd.read_parquet(path)
            held = any(frame[name].astype(str).str.contains(text, regex=False).any() for name in frame.columns)
        else:
            held = text.encode() in content
        if held:
            found.append(str(path.relative_to(root)))
    return found
