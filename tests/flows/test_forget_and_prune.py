"""`forget`, `forget --erase` and `prune` on a project with two registered versions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sandbox import Sandbox

REASON = ("--reason", "deletion request 17")


@pytest.fixture
def project(two_versions: Sandbox, tmp_path: Path) -> Sandbox:
    """A copy with everything committed."""
    copy = two_versions.copy_to(tmp_path / "copy")
    for command in (("add", "-q", "data/prompts.csv"), ("push", "-q", "-r", "dataset", "data/prompts.csv.dvc")):
        _dvc(copy, *command)
    copy.git("add", "-A")
    copy.git("commit", "--quiet", "--allow-empty", "-m", "data")
    return copy


def _dvc(project: Sandbox, *arguments: str) -> None:
    import sys

    env = project.env() | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(project.root / "var/dvc/site")}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project.root, env=env, check=True)


def _run(project: Sandbox, *arguments: str, expect: int = 0) -> Any:
    done = project.run(*arguments, "--json")
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


def _prompts(project: Sandbox) -> bytes:
    return (project.root / "data/prompts.csv").read_bytes()


def _state(project: Sandbox) -> dict[str, Any]:
    """All that a refused or dry run must leave as it is."""
    files = [path for path in project.root.rglob("*") if path.is_file() and path.name != "night.lock"]
    kept = [path for path in files if not {".git", "__pycache__", "tmp", "site"} & set(path.parts)]
    contents = {path: path.read_bytes() for path in kept if path.suffix not in (".lock", ".db")}
    tags = [dict(version.tags) for version in project.versions()]
    return {"files": contents, "head": project.git("rev-parse", "HEAD"), "tags": tags}


def _texts(project: Sandbox, row: str) -> str:
    frame = pd.read_csv(project.root / "data/prompts.csv", dtype=str)
    return str(frame.loc[frame["prompt_id"] == row, "prompt"].iloc[0])


def _holding(root: Path, text: str) -> list[str]:
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


def test_the_rows_leave_in_one_commit_and_every_other_byte_stays(project: Sandbox) -> None:
    before = _prompts(project)
    (project.root / "README.md").write_text("changed by a person\n")
    (project.root / "params.yaml").write_text((project.root / "params.yaml").read_text() + "# staged\n")
    project.git("add", "params.yaml")
    head = project.git("rev-parse", "HEAD")
    done = _run(project, "forget", "p0002", "p0013", *REASON)
    gone = [line for line in before.splitlines(keepends=True) if line.startswith((b"p0002,", b"p0013,"))]
    assert len(gone) == 2
    assert _prompts(project) == before.replace(gone[0], b"").replace(gone[1], b"")
    assert project.git("rev-parse", "HEAD") == done["commit"]
    assert project.git("rev-parse", "HEAD~1") == head
    changed = set(project.git("show", "--name-only", "--format=", "HEAD").splitlines())
    objects = {name for name in changed if name.startswith("data/remote/")}
    assert len(objects) == 1
    assert changed - objects == {"data/prompts.csv.dvc", "data/label_reviews.csv", "data/forgotten.csv"}
    status = project.git("status", "--porcelain").splitlines()
    assert sorted(line.strip() for line in status) == ["M  params.yaml".strip(), "M README.md"]
    assert "p0013" not in (project.root / "data/label_reviews.csv").read_text()
    listed = (project.root / "data/forgotten.csv").read_text()
    assert listed.count("deletion request 17") == 2


def test_a_holdout_row_leaves_the_holdout_too(project: Sandbox) -> None:
    row = (project.root / "data/holdout.txt").read_text().splitlines()[1]
    done = _run(project, "forget", row, *REASON)
    assert done["marked"] == ["1", "2"]
    assert row not in (project.root / "data/holdout.txt").read_text().split()
    assert "data/holdout.txt" in project.git("show", "--name-only", "--format=", "HEAD").splitlines()


def test_versions_are_marked_and_promotion_refuses_them(project: Sandbox) -> None:
    assert _run(project, "forget", "p0010", *REASON)["marked"] == ["1"]
    done = _run(project, "forget", "p0002", *REASON)
    assert done["marked"] == ["1", "2"]
    assert done["in_service"] == ["2"]
    tags = [version.tags["switchtender.forgotten_rows"] for version in project.versions()]
    assert tags == ["p0002|p0010", "p0002"]
    refused = project.run("promote", "1", *REASON)
    assert refused.returncode == 2
    assert "p0002|p0010" in refused.stderr


def test_nothing_is_done_twice(project: Sandbox) -> None:
    _run(project, "forget", "p0002", *REASON)
    before = _state(project)
    again = _run(project, "forget", "p0002", *REASON)
    assert again["commit"] is None
    assert again["in_dataset"] == []
    assert _state(project) == before


def _edit_reviews(project: Sandbox) -> None:
    with (project.root / "data/label_reviews.csv").open("a") as file:
        file.write("p0001,ab,keep,,ana,2026-11-22,\n")


def _edit_prompts(project: Sandbox) -> None:
    (project.root / "data/prompts.csv").write_bytes(_prompts(project).replace(b"p0003,", b"p8003,"))


def _nothing(project: Sandbox) -> None:
    """Leave all as it is."""


@pytest.mark.parametrize(
    ("damage", "arguments", "said"),
    [
        (_nothing, ("p0002", "p7777", "p7778", *REASON), "p7777, p7778"),
        (_nothing, ("p0002",), "reason"),
        (_nothing, ("p0002", "--reason", " "), "reason"),
        (_edit_reviews, ("p0002", *REASON), "data/label_reviews.csv is changed"),
        (_edit_prompts, ("p0002", *REASON), "data/prompts.csv is changed"),
    ],
)
def test_refused_changes_nothing(
    project: Sandbox, damage: Callable[[Sandbox], None], arguments: tuple[str, ...], said: str
) -> None:
    damage(project)
    before = _state(project)
    assert said in _run(project, "forget", *arguments, "--erase", expect=2)
    assert _state(project) == before


def test_a_dry_run_changes_nothing(project: Sandbox) -> None:
    before = _state(project)
    told = _run(project, "forget", "p0002", *REASON, "--erase", "--dry-run")
    assert told["marked"] == ["1", "2"]
    assert told["erased"]["objects"]
    assert _state(project) == before


def test_a_failure_in_the_middle_puts_everything_back(project: Sandbox) -> None:
    """The dataset's remote cannot be written, so the push fails after the files were changed."""
    config = project.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("../data/remote", "/proc/nowhere"))
    project.git("commit", "--quiet", "-am", "another remote")
    before = _state(project)
    assert "dvc push failed" in _run(project, "forget", "p0002", *REASON, expect=1)
    after = _state(project)
    added = set(after["files"]) - set(before["files"])
    assert all("var" in path.parts for path in added)
    assert after | {"files": {path: after["files"][path] for path in before["files"]}} == before


def test_erased_bytes_are_gone_and_verify_says_why(project: Sandbox) -> None:
    text, other = _texts(project, "p0002"), _texts(project, "p0003")
    assert len(_holding(project.root / "var", text)) > 20
    done = _run(project, "forget", "p0002", *REASON, "--erase")
    assert _holding(project.root / "var", text[:60]) == []
    assert _holding(project.root / "data", text) == []
    assert _holding(project.root / "var/dvc/cache", other) != []
    removed = [line for line in project.git("show", "--name-status", "--format=", "HEAD").splitlines() if "D\t" in line]
    assert removed
    assert all("data/remote/" in line for line in removed)
    results = _run(project, "verify", "--all")
    states = [{finding["state"] for finding in result["findings"]} for result in results]
    assert states == [{"erased"}, {"erased"}, set()]
    assert {finding["path"] for finding in results[0]["findings"]} != set()
    assert done["erased"]["remaining"] == []
    assert project.run("status").returncode == 0


def test_a_row_that_left_the_dataset_can_still_be_erased(project: Sandbox) -> None:
    """p0010 is in version 1 only; version 2 stays whole."""
    done = _run(project, "forget", "p0010", *REASON, "--erase")
    assert done["in_dataset"] == []
    results = _run(project, "verify", "--all")
    assert {finding["state"] for finding in results[0]["findings"]} == {"erased"}
    assert results[1]["findings"] == []


def _never_served(project: Sandbox) -> None:
    """Rewrite the records as if only version 2 had ever been put into service."""
    import mlflow

    for path in (project.root / "var/records").iterdir():
        path.unlink()
    project.git("update-ref", "-d", "refs/switchtender/promotions")
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'var/mlflow.db'}")
    for alias in ("champion", "previous"):
        client.delete_registered_model_alias("agent-router", alias)
    done = project.run("promote", "2", *REASON)
    assert done.returncode == 0, done.stderr


def test_what_never_served_is_pruned_and_the_rest_stays_whole(project: Sandbox) -> None:
    _never_served(project)
    before = _state(project)
    told = _run(project, "prune", "--keep", "1", "--dry-run")
    assert _state(project) == before
    done = _run(project, "prune", "--keep", "1")
    assert done == told | {"dry_run": False}
    assert done["versions"] == ["1"]
    assert done["megabytes"] > 1
    one, two, logs = _run(project, "verify", "--all")
    assert [finding["state"] for finding in one["findings"]] == ["pruned"]
    assert two["findings"] == logs["findings"] == []
    first = next((project.root / "var/runs").glob("*-0001"))
    assert [path.name for path in first.iterdir()] == ["run.json"]
    assert not Path(project.versions()[0].source.removeprefix("file://")).exists()
    assert project.git("for-each-ref", f"refs/switchtender/runs/{first.name}")
    assert _run(project, "prune", "--keep", "1")["versions"] == []
    assert project.run("trace", "p0010").returncode == 0


def test_what_served_or_is_recent_is_not_pruned(project: Sandbox) -> None:
    assert _run(project, "prune", "--keep", "1")["versions"] == []
    _never_served(project)
    assert _run(project, "prune", "--keep", "2")["versions"] == []
