"""Audit and diff of registered versions: the story that was planted, faults found, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from made_versions import MadeProject, answer, as_plain, row, state_of
from sandbox import ROOT
from tiny_encoders import save_tiny_qwen2
from warm_command import run_warm

from flows.audit import diff as comparing
from flows.audit.audit import audit
from flows.records.removal_log import ERASED, PRUNED, RemovalEntry, record_removal
from flows.registry.forgotten import FORGOTTEN_TAG
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.snapshot import RUN_REF
from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed
from pipeline.runtime.tables import sha256_file, sha256_text
from pipeline.runtime.track import TRACKS
from pipeline.versions.audit import IN_SERVICE, NEVER, SERVED, as_json
from pipeline.versions.base_models import base_models
from pipeline.versions.provenance import BASE_MODELS

FIRST = [row("p1", "coding"), row("p2", "sql"), row("p3", "email", split="holdout")]
SECOND = [
    row("p1", "coding"),
    row("p2", "email", "relabelled", reason="ana: was sql"),
    row("p3", "email", split="holdout"),
    row("p4", "sql"),
]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeProject:
    """Two versions: 1 was promoted, then 2."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = MadeProject(tmp_path / "a project")
    made.add(1, "the first prompts", rows=FIRST, answers=[answer("p3", "email", "coding")])
    (made.project.root / "pipeline" / "stages").mkdir(parents=True)
    (made.project.root / "pipeline" / "stages" / "split.py").write_text("one = 1\n")
    made.add(2, "the second prompts", rows=SECOND, answers=[answer("p3", "email", "email")])
    made.promote(1, "the first one")
    made.promote(2, "better on email", who="Bo <bo@localhost>")
    return made


def run(made: MadeProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as its own process, with this checkout's code."""
    env = made.files.env() | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    return run_warm("switchtender", arguments, made.project.root, env)


def test_it_says_who_serves_since_when_and_why(made: MadeProject) -> None:
    found = audit(made.project, "champion")
    assert (found.version, found.state, found.run_key) == ("2", IN_SERVICE, "nightly-2")
    assert [(t.who, t.reason, t.since, t.until) for t in found.terms] == [
        ("Bo <bo@localhost>", "better on email", "2026-02-02T10:00:00+00:00", "")
    ]
    assert [(t.version, t.reason, t.until) for t in found.before] == [
        ("1", "the first one", "2026-02-02T10:00:00+00:00")
    ]
    assert [(a.server, a.until) for a in found.answered] == [("command line", "")]
    assert (found.sound, found.faults, found.ref) == (True, (), f"{RUN_REF}nightly-2")


def test_a_version_that_came_back_has_two_terms_and_the_whole_chain(made: MadeProject) -> None:
    made.promote(1, "complaints", action="rolled back", forced=True, gates={"micro_f1": "failed"})
    first, second = audit(made.project, "1"), audit(made.project, "2")
    assert [t.reason for t in first.terms] == ["the first one", "complaints"]
    assert [t.version for t in first.chain] == ["1", "2", "1"]
    assert first.terms[1].forced
    assert (first.state, second.state, second.terms[0].until) == (IN_SERVICE, SERVED, first.terms[1].since)
    assert second.after is not None
    assert second.after.reason == "complaints"


def test_a_version_that_nobody_promoted_never_served(made: MadeProject) -> None:
    made.add(3)
    found = audit(made.project, "3")
    assert (found.state, found.terms, found.after) == (NEVER, (), None)
    assert [t.version for t in found.before] == ["2", "1"]


def test_each_data_file_has_its_digest_and_where_its_bytes_lie(made: MadeProject) -> None:
    files = {file.name: file for file in audit(made.project, "1").files}
    prompts = files["data/prompts.csv"]
    assert prompts.sha256 == sha256_text("the first prompts")
    assert {p.place: p.state for p in prompts.places} == {"cache": "there", "remote": "there"}
    assert Path(prompts.places[0].where).read_text() == "the first prompts"
    assert {p.place: p.state for p in files["data/agents.yaml"].places} == {"git": "there"}


def test_a_lost_a_changed_and_an_erased_object_are_told_apart(made: MadeProject) -> None:
    found = {file.name: file for file in audit(made.project, "1").files}
    prompts, train = (
        Path(found[name].places[0].where) for name in ("data/prompts.csv", "var/stages/split/train.parquet")
    )
    prompts.write_text("the first prompts, touched")
    train.unlink()
    damaged = audit(made.project, "1")
    states = {f.name: {p.place: p.state for p in f.places} for f in damaged.files}
    assert states["data/prompts.csv"] == {"cache": "changed", "remote": "there"}
    assert states["var/stages/split/train.parquet"] == {"cache": "absent", "remote": "there"}
    assert damaged.faults == ("cache: data/prompts.csv is changed",)
    md5 = prompts.parent.name + prompts.name
    for place in (cache_of(made.project), remote_of(made.project)):
        place.remove(md5)
    assert audit(made.project, "1").faults == ("data/prompts.csv is in none of cache, remote",)
    record_removal(made.project, RemovalEntry("2026-03-01", "bo", ERASED, "request 17", ("1",), (md5,), ("p2",)))
    erased = next(f for f in audit(made.project, "1").files if f.name == "data/prompts.csv")
    assert [(p.state, p.why) for p in erased.places] == [("erased", "2026-03-01, bo: request 17")] * 2
    assert audit(made.project, "1").sound


def test_a_remote_that_cannot_be_reached_is_not_an_empty_one(
    made: MadeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: Any) -> None:
        raise SwitchtenderError("the remote s3://x cannot be reached")

    monkeypatch.setattr("flows.audit.audit.remote_of", unreachable)  # no network in a test
    places = next(f for f in audit(made.project, "2").files if f.name == "data/prompts.csv").places
    assert [(p.place, p.state) for p in places] == [("cache", "there"), ("remote", "could not look")]
    assert "s3://x" in places[1].why


def test_the_published_models_that_had_a_part_are_told_by_role_and_digest(made: MadeProject, tmp_path: Path) -> None:
    """Each that params may name at once: of the agents' router one system, of the models' router the other."""
    qwen2 = str(save_tiny_qwen2(tmp_path / "qwen2"))
    (tmp_path / "template.yaml").write_text("user: '{query}'\nnew_tokens: 5\n")
    tags = {"router": "tags", "tags": {"generator": qwen2, "prompt": "template.yaml"}}
    full = {"variant": "full", "language_model": f"someone/model@{'4' * 40}", "capability_encoder": "minilm"}
    params = {"train": tags, "models": {"train": {"router": "aptitude", "aptitude": full}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    models = [one for track in TRACKS.values() for one in base_models(tmp_path / "params.yaml", track)]
    materials = {(m.role, m.name): m for one in models for m in one.materials()}
    made.add(3, models=list(materials.values()))
    found = json.loads(run(made, "audit", "3", "--json").stdout)["other_files"]
    told = {(file["role"], file["path"]): file["sha256"] for file in found if file["role"] in BASE_MODELS}
    assert told.keys() == materials.keys()
    assert {role for role, _ in told} == set(BASE_MODELS)
    assert told["language model", "someone/model"] == "4" * 40
    assert told["tag generator", f"{qwen2}/model.safetensors"] == sha256_file(tmp_path / "qwen2/model.safetensors")
    assert told["prompt template", "template.yaml"] == sha256_file(tmp_path / "template.yaml")
    text = " ".join(run(made, "audit", "3").stdout.split())
    assert "language model: someone/model 444444444444" in text
    assert all(f"{role}: " in text for role in BASE_MODELS)


def test_a_changed_file_of_the_version_is_a_fault(made: MadeProject) -> None:
    evidence = made.project.artifacts / "2" / "artifacts" / "router" / "evidence"
    (evidence / "verdict.json").write_text('{"gates": []}')
    found = audit(made.project, "2")
    assert not found.sound
    assert any("verdict.json is changed" in fault for fault in found.faults)
    (evidence / "lineage.parquet").write_text("no table")
    assert audit(made.project, "2").facts is None


def test_a_commit_that_is_no_longer_kept_is_a_fault(made: MadeProject) -> None:
    made.files.git("update-ref", "-d", f"{RUN_REF}nightly-2")
    assert audit(made.project, "2").faults == (f"git: {RUN_REF}nightly-2 is missing",)


def test_an_edited_promotion_log_is_not_read_out(made: MadeProject) -> None:
    log = made.project.records / "promotions.jsonl"
    log.write_text(log.read_text().replace("Bo", "Eve"))
    for which in ("1", "2", "champion"):
        with pytest.raises(VerificationFailed):
            audit(made.project, which)


def test_a_moved_alias_is_said_and_the_log_counts(made: MadeProject) -> None:
    made.alias("champion", 1)
    found = audit(made.project, "champion")
    assert (found.version, found.alias_moved_to) == ("2", "1")


def test_rows_that_were_forgotten_since_are_named(made: MadeProject) -> None:
    made.tag(1, FORGOTTEN_TAG, "p1|p2")
    assert audit(made.project, "1").forgotten == ("p1", "p2")


@pytest.mark.parametrize("registered", [True, False])
def test_a_pruned_version_says_so_and_who_once_decided(made: MadeProject, registered: bool) -> None:
    number = "1" if registered else "7"
    made.promote(7, "a version that is gone") if not registered else None
    record_removal(made.project, RemovalEntry("2026-03-01", "bo", PRUNED, "kept the latest 10", (number,)))
    found = audit(made.project, number)
    assert found.pruned is not None
    assert (found.pruned.reason, found.facts, found.sound, found.faults) == ("kept the latest 10", None, None, ())
    assert found.terms[-1].reason == ("the first one" if registered else "a version that is gone")
    done = run(made, "audit", number, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pruned"]["reason"] == "kept the latest 10"
    with pytest.raises(InputError, match="pruned"):
        comparing.diff(made.project, number, "2")


def test_a_number_that_never_was_is_a_usage_error(made: MadeProject) -> None:
    with pytest.raises(InputError, match="no version 9"):
        audit(made.project, "9")


def test_json_is_plain_and_names_the_chain(made: MadeProject) -> None:
    facts = as_json(audit(made.project, "champion"))
    assert as_plain(facts) == as_plain(as_plain(facts))
    assert [(c["version_to"], c["reason"]) for c in facts["champions"]] == [
        ("1", "the first one"),
        ("2", "better on email"),
    ]
    assert {f["path"] for f in facts["data_files"]} == {"data/agents.yaml", "data/prompts.csv"}
    assert facts["row_counts"]["by_fate"]["relabelled"] == 1
    assert facts["since"] == "2026-02-02T10:00:00+00:00"


def test_diff_shows_rows_code_files_metrics_and_flips(made: MadeProject) -> None:
    found = as_plain(comparing.diff(made.project, "1", "champion").to_json())
    assert [r["prompt_id"] for r in found["added"]] == ["p4"]
    assert found["removed"] == []
    assert [(c["prompt_id"], c["before"], c["after"]) for c in found["relabelled"]] == [("p2", "sql", "email")]
    code = [(c["path"], c["lines_added"], c["lines_removed"]) for c in found["code"]]
    assert code == [("pipeline/stages/split.py", 1, 0)]
    assert [(f["prompt_id"], f["before"], f["after"], f["outcome"]) for f in found["flips"]] == [
        ("p3", ["coding"], ["email"], "now right")
    ]
    assert {c["name"] for c in found["files"]} == {"data/prompts.csv"}
    micro = next(m for m in found["metrics"] if m["metric"] == "micro_f1")
    assert (micro["difference"], micro["low"], micro["high"]) == (1.0, 1.0, 1.0)


def test_a_version_beside_itself_differs_in_nothing(made: MadeProject) -> None:
    assert run(made, "diff", "2", "champion").stdout == "Both are version 2: nothing differs.\n"


def test_a_damaged_version_is_not_compared(made: MadeProject) -> None:
    (made.project.artifacts / "1" / "artifacts" / "router" / "evidence" / "metrics.json").write_text("{}")
    with pytest.raises(VerificationFailed):
        comparing.diff(made.project, "1", "2")


@pytest.mark.parametrize("command", [("audit",), ("audit", "1", "--rows"), ("diff", "1", "2")])
def test_commands_fit_the_terminal_and_leave_no_file_behind(made: MadeProject, command: tuple[str, ...]) -> None:
    before = state_of(made.project.root)
    done = run(made, *command)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert run(made, *command, "--json").returncode == 0
    assert state_of(made.project.root) == before


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_only_the_named_files_are_written(made: MadeProject, tmp_path: Path, ending: str) -> None:
    before = state_of(made.project.root)
    place, page = tmp_path / "out" / f"rows.{ending}", tmp_path / "out" / "page.html"
    done = run(made, "audit", "2", "--agent", "email", "--out", str(place), "--html", str(page))
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(place) if ending == "parquet" else pd.read_csv(place)
    assert list(rows["prompt_id"]) == ["p2", "p3"]
    assert "better on email" in page.read_text()
    assert sorted((tmp_path / "out").iterdir()) == sorted([place, page])
    assert state_of(made.project.root) == before


def test_a_filter_asks_for_rows(made: MadeProject) -> None:
    found = json.loads(run(made, "audit", "2", "--fate", "relabelled", "--json").stdout)
    assert [(r["prompt_id"], r["agents"], r["reason"]) for r in found["rows"]] == [("p2", "email", "ana: was sql")]
    assert "rows" not in json.loads(run(made, "audit", "2", "--json").stdout)


def test_an_unknown_agent_is_a_usage_error_that_lists_the_known(made: MadeProject) -> None:
    done = run(made, "audit", "2", "--agent", "emial", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "coding, email, sql" in done.stderr


def test_faults_are_shown_and_end_in_exit_code_4(made: MadeProject) -> None:
    made.files.git("update-ref", "-d", f"{RUN_REF}nightly-2")
    done = run(made, "audit", "2", "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["sound"] is False
    assert "better on email" in run(made, "audit", "2").stdout


def test_reading_needs_neither_mlflow_nor_torch(made: MadeProject) -> None:
    code = (
        "import sys; from switchtender.verbs.audit import audit; from switchtender.verbs.diff import diff;"
        "audit('champion', rows=True, as_json=True); diff('1', '2', as_json=True);"
        "heavy = {'mlflow', 'torch', 'prefect', 'dvc', 'matplotlib', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=made.project.root, capture_output=True, text=True, check=False,
        env=made.files.env() | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
