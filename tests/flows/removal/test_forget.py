"""`forget` and `forget --erase` on a project with two registered versions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from removing import commit_data, holding, prompts, run, state, text_of
from sandbox import Sandbox
from second_night import SecondNight
from warm_command import run_warm

from flows.night.nightly import nothing_new
from flows.registry.relocation import local, relocate_rows
from flows.workspace.lock import held
from flows.workspace.project import Project
from flows.workspace.runs import latest_finished

REASON = ("--reason", "deletion request 17")


def test_the_rows_leave_in_one_commit_and_every_other_byte_stays(
    project: Sandbox, kept_row: str, reviewed: str
) -> None:
    before = prompts(project)
    (project.root / "README.md").write_text("changed by a person\n")
    (project.root / "params.yaml").write_text((project.root / "params.yaml").read_text() + "# staged\n")
    project.git("add", "params.yaml")
    head = project.git("rev-parse", "HEAD")
    done = run(project, "forget", kept_row, reviewed, *REASON)
    ids = (f"{kept_row},".encode(), f"{reviewed},".encode())
    gone = [line for line in before.splitlines(keepends=True) if line.startswith(ids)]
    assert len(gone) == 2
    assert prompts(project) == before.replace(gone[0], b"").replace(gone[1], b"")
    assert project.git("rev-parse", "HEAD") == done["commit"]
    assert project.git("rev-parse", "HEAD~1") == head
    changed = set(project.git("show", "--name-only", "--format=", "HEAD").splitlines())
    objects = {name for name in changed if name.startswith("data/remote/")}
    assert len(objects) == 1
    assert changed - objects == {"data/prompts.csv.dvc", "data/label_reviews.csv", "data/forgotten.csv"}
    status = project.git("status", "--porcelain").splitlines()
    assert sorted(line.strip() for line in status) == ["M  params.yaml", "M README.md"]
    assert reviewed not in (project.root / "data/label_reviews.csv").read_text()
    listed = (project.root / "data/forgotten.csv").read_text()
    assert listed.count(f"\n{kept_row},") == listed.count(f"\n{reviewed},") == 1


def test_a_holdout_row_leaves_the_holdout_too(project: Sandbox) -> None:
    row = (project.root / "data/holdout.txt").read_text().splitlines()[1]
    done = run(project, "forget", row, *REASON)
    assert done["agents"]["marked"] == ["1", "2"]
    assert row not in (project.root / "data/holdout.txt").read_text().split()
    assert "data/holdout.txt" in project.git("show", "--name-only", "--format=", "HEAD").splitlines()


def test_versions_are_marked_and_promotion_refuses_them(project: Sandbox, kept_row: str, left: str) -> None:
    done = run(project, "forget", kept_row, *REASON)
    assert done["agents"]["marked"] == ["1", "2"]
    assert done["agents"]["in_service"] == ["1"]
    tags = [version.tags["switchtender.forgotten_rows"] for version in project.versions()]
    assert tags == [f"{kept_row}|{left}", kept_row]
    refused = project.run("promote", "2", *REASON)
    assert refused.returncode == 2
    assert kept_row in refused.stderr


def test_versions_in_a_registry_elsewhere_are_marked_and_refused(
    project: Sandbox, kept_row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that lacks what a night registered is none in which nothing is to be marked."""
    here, place = Project(project.root), tmp_path / "registry.db"
    relocate_rows(here)
    here.mlflow_database.rename(place)

    def ask(store: Path, *arguments: str) -> CompletedProcess[str]:
        env = project.env() | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
        return run_warm("switchtender", (*arguments, *REASON), project.root, env)

    head = project.git("rev-parse", "HEAD")
    empty = tmp_path / "empty.db"
    for wrong in (tmp_path / "none.db", empty):
        refused = ask(wrong, "forget", kept_row)
        assert (refused.returncode, project.git("rev-parse", "HEAD")) == (2, head)
        assert "registered version 2, and the registry" in refused.stderr
        empty.touch()
    done = ask(place, "forget", kept_row, "--json")
    assert json.loads(done.stdout)["agents"]["marked"] == ["1", "2"], done.stderr
    refused = ask(place, "promote", "2")
    assert refused.returncode == 2
    assert kept_row in refused.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
    latest = latest_finished(here)
    assert latest is not None
    assert nothing_new(here, latest.identity) == latest
    assert not here.mlflow_database.exists()


def test_augmented_rows_are_shown(project: Sandbox, reviewed: str, second_night: SecondNight) -> None:
    shown = run(project, "forget", second_night.forgotten, *REASON, "--dry-run")["affected"]
    assert {row["through"] for row in shown if row["version"] == "1"} == {None, *second_night.children}
    assert {row["version"] for row in shown} == {"1"}
    told = project.run("forget", reviewed, *REASON)
    assert told.returncode == 0, told.stderr
    assert max(map(len, told.stdout.splitlines())) <= 100
    assert "switchtender nightly" in told.stdout.splitlines()[-1]


def test_nothing_is_done_twice(project: Sandbox, kept_row: str) -> None:
    run(project, "forget", kept_row, *REASON)
    before = state(project)
    again = run(project, "forget", kept_row, *REASON)
    assert again["commit"] is None
    assert again["in_dataset"] == []
    assert state(project) == before


def _review(project: Sandbox, *lines: str) -> None:
    with (project.root / "data/label_reviews.csv").open("a") as file:
        file.writelines(f"{line},,ana,2026-11-22,\n" for line in lines)


def test_decisions_on_labels_that_are_not_committed_go_along_in_the_commit(project: Sandbox, kept_row: str) -> None:
    _review(project, "p0001,ab,keep", f"{kept_row},ab,drop", "p0004,cd,drop")
    told = run(project, "forget", kept_row, *REASON)
    assert told["reviews_taken_along"] == 2
    committed = project.git("show", "HEAD:data/label_reviews.csv")
    assert all(line in committed for line in ("p0001,ab,keep", "p0004,cd,drop"))
    assert kept_row not in committed
    assert "Decisions on labels taken along: 2" in project.git("show", "-s", "--format=%B", "HEAD")
    assert project.git("status", "--porcelain", "data") == ""


def _break_reviews(project: Sandbox) -> None:
    _review(project, "p0001,ab,perhaps")


def _edit_prompts(project: Sandbox) -> None:
    (project.root / "data/prompts.csv").write_bytes(prompts(project).replace(b"\np0009,", b"\np8009,"))


def _nothing(project: Sandbox) -> None:
    """Leave all as it is."""


@pytest.mark.parametrize(
    ("damage", "arguments", "said"),
    [
        (_nothing, ("p0001", "p7777", "p7778", *REASON), "p7777, p7778"),
        (_nothing, ("p0001",), "reason"),
        (_nothing, ("p0001", "--reason", " "), "reason"),
        (_break_reviews, ("p0001", *REASON), "unknown decision 'perhaps'"),
        (_edit_prompts, ("p0001", *REASON), "data/prompts.csv is changed"),
    ],
)
def test_refused_changes_nothing(
    project: Sandbox, damage: Callable[[Sandbox], None], arguments: tuple[str, ...], said: str
) -> None:
    damage(project)
    before = state(project)
    assert said in run(project, "forget", *arguments, "--erase", expect=2)
    assert state(project) == before


def test_a_dry_run_changes_nothing(project: Sandbox, kept_row: str) -> None:
    before = state(project)
    told = run(project, "forget", kept_row, *REASON, "--erase", "--dry-run")
    assert told["agents"]["marked"] == ["1", "2"]
    assert told["erased"]["objects"]
    assert state(project) == before


def test_a_failure_before_the_commit_changes_nothing(project: Sandbox, kept_row: str) -> None:
    """The dataset's remote cannot be written."""
    config = project.root / ".dvc" / "config"
    config.write_text(config.read_text().replace("../data/remote", "/proc/nowhere"))
    project.git("commit", "--quiet", "-am", "another remote")
    before = state(project)
    assert "/proc/nowhere" in run(project, "forget", kept_row, *REASON, expect=1)
    after = state(project)
    added = set(after["files"]) - set(before["files"])
    assert all("var" in path.parts for path in added)
    assert after | {"files": {path: after["files"][path] for path in before["files"]}} == before


def test_no_night_may_run_meanwhile(project: Sandbox, kept_row: str) -> None:
    before = state(project)
    with held(project.root / "var/night.lock", "a test"):
        assert "a test" in run(project, "forget", kept_row, *REASON, expect=5)
        assert "a test" in run(project, "prune", "--keep", "1", expect=5)
    assert state(project) == before


def test_erased_bytes_are_gone_and_verify_says_why(project: Sandbox, kept_row: str, reviewed: str) -> None:
    text, other = text_of(project, kept_row), text_of(project, reviewed)
    assert len(holding(project.root / "var", text)) > 20
    done = run(project, "forget", kept_row, *REASON, "--erase")
    assert holding(project.root / "var", text[:60]) == []
    assert holding(project.root / "data", text) == []
    assert len(holding(project.root / "data", other[:60])) == 2
    removed = [line for line in project.git("show", "--name-status", "--format=", "HEAD").splitlines() if "D\t" in line]
    assert removed
    assert all("data/remote/" in line for line in removed)
    one, two, logs = run(project, "verify", "--all")
    for result in (one, two):
        assert {finding["state"] for finding in result["findings"]} == {"erased"}
        names = {finding["path"].split(" ")[0] for finding in result["findings"]}
        assert {"data/prompts.csv", "var/stages/split/train.parquet", "var/stages/augment/train.parquet"} <= names
        spare = {"router/model/engine/training_rows.safetensors"}
        assert spare <= names
        assert not any("fates" in name or "holdout" in name or "router" in name for name in names - spare)
    assert logs["findings"] == []
    assert done["erased"]["remaining"] == []
    assert project.run("status").returncode == 0
    assert run(project, "route", "mail Ana about the ferry")["version"] == "1"


def test_a_row_that_left_the_dataset_can_still_be_erased(project: Sandbox, second_night: SecondNight) -> None:
    """Version 2 never knew it, and stays whole."""
    assert holding(project.root, second_night.forgotten_text)
    done = run(project, "forget", second_night.forgotten, *REASON, "--erase")
    assert done["in_dataset"] == []
    assert holding(project.root, second_night.forgotten_text) == []
    results = run(project, "verify", "--all")
    assert {finding["state"] for finding in results[0]["findings"]} == {"erased"}
    assert results[1]["findings"] == []
    removed = len((project.root / "var/records/removals.jsonl").read_text().splitlines())
    assert run(project, "forget", second_night.forgotten, *REASON, "--erase")["erased"]["objects"] == []
    assert len((project.root / "var/records/removals.jsonl").read_text().splitlines()) == removed


def test_the_same_text_under_another_id_stays_in_the_tables(project: Sandbox, second_night: SecondNight) -> None:
    """Its older copies go; the tables that stay, their objects and remotes do not."""
    project.set_params(models__validate__table="data/outcomes.csv")
    outcome = f'prompt_id,prompt,candidate,quality\nq7,"{second_night.forgotten_text}",coder,1\n'
    (project.root / "data/outcomes.csv").write_text(outcome)
    table = project.root / "data/prompts.csv"
    table.write_bytes(
        prompts(project) + f'p9002,"{second_night.forgotten_text}",coding,a1,written,2026-11-22\n'.encode()
    )
    commit_data(project, "data/outcomes.csv")
    before = prompts(project)
    (project.root / "data/remote/not-committed").write_text(second_night.forgotten_text)
    done = run(project, "forget", second_night.forgotten, *REASON, "--erase")
    held_in = holding(project.root, second_night.forgotten_text)
    assert prompts(project) == before
    assert (project.root / "data/outcomes.csv").read_text() == outcome
    folders = sorted("/".join(Path(name).parts[:2]) for name in held_in)
    assert folders == ["data/outcomes.csv", "data/prompts.csv", "data/remote", "var/dvc", "var/dvc"]
    assert done["erased"]["remaining"] == [
        f"{table} has the same text under {one}; forget that too, if it is the same"
        for table, one in (("data/outcomes.csv", "q7"), ("data/prompts.csv", "p9002"))
    ]


def test_what_routers_keep_of_prompts_goes_but_for_what_the_version_in_service_needs(
    project: Sandbox, kept_row: str
) -> None:
    """As if the night had trained other systems, and somebody the same in the working copy."""
    folders = [place / "artifacts/router/model" for version in project.versions() if (place := local(version.source))]
    runs = sorted((project.root / "var/runs").iterdir())
    here = project.root / "var/stages"
    for stage in ("augment", "train"):
        shutil.copytree(runs[-1] / "clone/var/stages" / stage, here / stage, dirs_exist_ok=True)
    copies = [folder / name for folder in runs for name in ("clone/var/stages/train/router", "router/model")]
    made = [*folders, *copies, here / "train/router"]
    names = ("knn.safetensors", "aptitude.safetensors", "tfidf.json")
    for path in (folder / name for folder in made for name in names):
        path.write_bytes(b"\0kept")
    description = json.loads((folders[1] / "router.json").read_text())
    prefixed = description | {"prefixes": [text_of(project, kept_row)]}
    (folders[1] / "router.json").write_text(json.dumps(prefixed))
    done = run(project, "forget", kept_row, *REASON, "--erase")
    assert [folder for folder in made if any((folder / name).exists() for name in names)] == folders[:1]
    assert all((folders[0] / name).exists() for name in names)
    waiting, quoting = done["erased"]["remaining"]
    assert "version 1 serves" in waiting
    assert all(name in waiting for name in names)
    assert "model/router.json of version 2 quotes a text" in quoting
