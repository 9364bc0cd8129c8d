"""Two nights, a promotion, a rollback and another promotion: every command tells the same story.

The truth is what the test itself changed between the nights (tests/second_night.py).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox import Sandbox
from second_night import SecondNight

from flows.audit.replay import prepare
from flows.registry.versions import Versions, opened
from flows.workspace.dvc_stages import run_stage
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.tables import sha256_file
from pipeline.versions.replay_comparison import compare_files

BEFORE_TRAINING = ("split", "label_noise", "augment", "fates")


@pytest.fixture(scope="module")
def story(two_versions: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Version 1 served; 2 was promoted, rolled back by force, and promoted again."""
    project = two_versions.copy_to(tmp_path_factory.mktemp("story") / "a project")
    say(project, 0, "promote", "2", "--reason", "learnt from the review")
    assert "forgotten" in say(project, 2, "rollback", "--reason", "complaints")
    say(project, 0, "rollback", "--force", "--reason", "outage")
    say(project, 0, "promote", "2", "--reason", "outage over")
    return project


def say(project: Sandbox, code: int, *arguments: str) -> str:
    """Run a command that must end with a code; returns what it wrote to stderr."""
    done = project.run(*arguments)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stderr


def ask(project: Sandbox, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = project.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_status_and_audit_say_who_serves_and_who_decided(story: Sandbox) -> None:
    serving = {v["alias"]: v["version"] for v in ask(story, "status")["versions"]}
    assert serving == {"champion": "2", "challenger": "2", "previous": "1"}
    audit = ask(story, "audit", "champion")
    assert audit["version"] == "2"
    assert [(p["action"], p["version_to"], p["reason"], p["forced"]) for p in audit["champions"]] == [
        ("promoted", "1", "first gated version of a store without a champion", False),
        ("promoted", "2", "learnt from the review", False),
        ("rolled back", "1", "outage", True),
        ("promoted", "2", "outage over", False),
    ]


def test_trace_says_when_each_row_taught_a_version_that_served(story: Sandbox, second_night: SecondNight) -> None:
    found = ask(story, "trace", second_night.relabelled)
    labels = {v["version"]: "|".join(v["agents"]) for v in found["versions"]}
    assert labels == {"1": second_night.label_before, "2": second_night.label_after}
    one, two = ({v["version"]: v for v in found["versions"]}[number] for number in ("1", "2"))
    assert [bool(s["until"]) for s in one["served"]] == [True, True]
    assert [bool(s["until"]) for s in two["served"]] == [True, False]
    assert one["served"][0]["until"] == two["served"][0]["since"]
    assert found["serving_holds_it"]


def test_trace_follows_a_forgotten_row_through_its_augmented_children(
    story: Sandbox, second_night: SecondNight
) -> None:
    found = ask(story, "trace", second_night.forgotten)
    assert {v["version"] for v in found["versions"]} == {"1"}
    assert {v["through"] for v in found["versions"]} == {None, *second_night.children}
    assert not found["serving_holds_it"]
    assert ask(story, "trace", "--text", second_night.forgotten_text)["versions"]
    removed = ask(story, "trace", "--removed-since", "1")
    assert {row["prompt_id"] for row in removed["rows"]} == {second_night.forgotten}


def test_audit_shows_the_review_and_every_rows_fate(story: Sandbox, second_night: SecondNight, tmp_path: Path) -> None:
    audit = ask(story, "audit", "2", "--rows")
    rows = {row["prompt_id"]: row for row in audit["rows"]}
    assert rows[second_night.reviewed]["fate"] == "relabelled"
    assert set(rows[second_night.reviewed]["agents"].split("|")) == set(second_night.review_after.split("|"))
    assert second_night.added in rows
    assert second_night.forgotten not in rows
    decisions = {d["prompt_id"]: (d["decision"], d["reviewer"]) for d in audit["decisions"]}
    assert decisions == {second_night.reviewed: ("relabel", "ana")}
    page = tmp_path / "audit.html"
    say(story, 0, "audit", "2", "--html", str(page))
    assert second_night.reviewed in page.read_text()
    assert "outage over" in page.read_text()


def test_every_data_file_is_named_with_the_digest_of_its_bytes(story: Sandbox) -> None:
    files = {file["path"]: file for file in ask(story, "audit", "2")["data_files"]}
    assert files["data/prompts.csv"]["sha256"] == sha256_file(story.root / "data" / "prompts.csv")
    assert files["data/agents.yaml"]["sha256"] == sha256_file(story.root / "data" / "agents.yaml")


def test_diff_shows_exactly_what_was_changed(story: Sandbox, second_night: SecondNight) -> None:
    diff = ask(story, "diff", "1", "2")
    assert {row["prompt_id"] for row in diff["added"]} == {second_night.added}
    assert {row["prompt_id"] for row in diff["removed"]} == {second_night.forgotten}
    relabelled = {row["prompt_id"]: (row["before"], row["after"]) for row in diff["relabelled"]}
    assert set(relabelled) == {second_night.relabelled, second_night.reviewed}
    assert relabelled[second_night.relabelled] == (second_night.label_before, second_night.label_after)
    assert diff["params"] == []


def test_verify_finds_everything_in_its_place(story: Sandbox) -> None:
    results = ask(story, "verify", "--all")
    assert [r["version"] for r in results] == ["1", "2", None]
    assert all(r["sound"] and r["checked"] > 0 for r in results)


def test_a_replay_gives_the_same_bytes_and_a_certificate(story: Sandbox) -> None:
    replay = ask(story, "replay", "2")
    assert (replay["verdict"], replay["same_environment"]) == ("identical", True)
    files = {file["path"]: (file["recorded"], file["replayed"]) for file in replay["files"]}
    assert all(before == after for before, after in files.values())
    with opened(Versions(Project(story.root), "agent-router").number("2")) as folder:
        assert files["model/head.safetensors"][1] == sha256_file(folder.model / "head.safetensors")
    assert json.loads((story.root / replay["certificate"]).read_text())["verdict"] == "identical"
    assert list((story.root / "var" / "scratch").iterdir()) == []


@pytest.mark.heavy
def test_a_replay_with_another_seed_is_not_the_same(story: Sandbox, tmp_path: Path) -> None:
    """What training starts from is that of the night; only the seed is another."""
    project = Project(story.root)
    version = Versions(project, "agent-router").number("2")
    with opened(version) as folder:
        clone = prepare(project, version, folder.provenance(), tmp_path)
        params = yaml.safe_load((clone / "params.yaml").read_text())
        params["run"]["seed"] += 1
        (clone / "params.yaml").write_text(yaml.safe_dump(params))
        recorded = clone_of(project, version.run_key) / "var" / "stages"
        for name in BEFORE_TRAINING:
            shutil.copytree(recorded / name, clone / "var" / "stages" / name, dirs_exist_ok=True)
        for name in ("validate", "train"):
            run_stage(project, clone, name, 600, False, force=True)
        found = {file.path: file.same for file in compare_files(folder.provenance(), clone)}
    assert not found["model/head.safetensors"]
    assert found["var/stages/validate/prompts.parquet"]
