"""Params that no commit had: what a person's params.yaml says otherwise than git, setting by setting."""

from __future__ import annotations

from pathlib import Path

import yaml

from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.params import PARAMS_FILE, read_file
from pipeline.runtime.plain import JsonObject
from pipeline.versions.diff import diff_values

_OURS = "^switchtender: "
"""How messages of the commits begin that a night makes on top of a person's."""


def uncommitted_params(project: Project) -> list[str]:
    """How the working copy's params differ from HEAD's, as `section.key: committed -> used`."""
    return _changes(project.root, "HEAD", read_file(project.root / PARAMS_FILE))


def night_params(project: Project, commit: str, used: JsonObject) -> list[str]:
    """How the params that a night used differ from those of the person's commit below the night's own."""
    try:
        base = git(project.root, "rev-list", "-1", "--first-parent", "--invert-grep", f"--grep={_OURS}", commit)
    except SwitchtenderError:
        return []  # the recorded commit is gone, which `verify` says
    return _changes(project.root, base, used) if base else []


def _changes(root: Path, commit: str, used: JsonObject) -> list[str]:
    committed = yaml.safe_load(git(root, "cat-file", "blob", f"{commit}:{PARAMS_FILE.name}", strip=False)) or {}
    return [f"{c.name}: {c.before} -> {c.after}" for c in diff_values(committed, used)]
