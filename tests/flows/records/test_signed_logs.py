"""All logs under one signed head: what is added, what is found, and what heals by itself."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from made_versions import MadeProject

from flows.records.promotion_log import PROMOTED, Promotion, promotions, record_promotion
from flows.records.removal_log import PRUNED, RemovalEntry, record_removal, removals
from flows.records.serving_log import record_swap, serving_periods
from flows.records.signed_logs import HEAD, PROMOTIONS, REF, REMOVALS, SERVED, SignedLogs, begin_anew, signer_of
from flows.workspace.git import git
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import write_json
from pipeline.runtime.track import MODELS
from pipeline.versions.hash_chain import chained, head_of
from pipeline.versions.signed_head import parse_head

OLD_REF = "refs/switchtender/promotions"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return MadeProject(tmp_path / "project").project


def promote(project: Project, number: str) -> None:
    record_promotion(project, Promotion("2026-01-01", "ana", PROMOTED, "", number, "better", "d" * 64))


def prune(project: Project, number: str) -> None:
    record_removal(project, RemovalEntry("2026-01-02", "ana", PRUNED, "old", (number,)))


def test_acts_of_both_tracks_stand_under_one_head_which_counts_them(project: Project) -> None:
    promote(project, "1")
    promote(project.on(MODELS), "1")
    prune(project, "2")
    head = SignedLogs(project).head
    assert head is not None
    assert head.entries == 5, "a promotion is also noted in the log of what answered"
    assert {file for file, found in head.logs.items() if found.length} == {
        PROMOTIONS, SERVED, REMOVALS, f"models/{PROMOTIONS}", f"models/{SERVED}",
    }  # fmt: skip
    head.check(signer_of(project))
    assert parse_head(head.to_line(), "a line") == head
    assert git(project.root, "show", f"{REF}:{HEAD}") == head.to_line()
    assert [p.version_to for p in promotions(project.on(MODELS))] == ["1"]


@pytest.mark.parametrize("file", [PROMOTIONS, SERVED, REMOVALS])
def test_a_file_that_lacks_its_end_is_read_whole_and_completed_by_the_next_act(project: Project, file: str) -> None:
    promote(project, "1")
    promote(project, "2")
    prune(project, "9")
    path = project.records / file
    whole = path.read_text()
    for cut in ("", whole[: len(whole) // 2]):
        path.write_text(cut)
        logs = SignedLogs(project)
        assert (logs.differences(), logs.behind) == ([], [file])
        assert logs.proved()[file] == whole
    promote(project, "3")
    assert path.read_text().startswith(whole)
    assert SignedLogs(project).behind == []


@pytest.mark.parametrize("file", [PROMOTIONS, SERVED, REMOVALS])
def test_nothing_is_added_to_a_log_that_was_changed(project: Project, file: str) -> None:
    promote(project, "1")
    prune(project, "9")
    path, commit = project.records / file, SignedLogs(project).commit
    path.write_text(path.read_text().replace('"version', '"Version'))
    broken = path.read_text()
    for act in (lambda: promote(project, "2"), lambda: prune(project, "8"), lambda: record_swap(project, "1", "", "x")):
        with pytest.raises(VerificationFailed, match=file):
            act()
    assert (path.read_text(), SignedLogs(project).commit) == (broken, commit)


def test_a_service_without_the_private_key_writes_what_the_next_act_signs(project: Project) -> None:
    promote(project, "1")
    key = signer_of(project).private_key
    aside = key.rename(key.with_suffix(".aside"))
    record_swap(project, "1", "d" * 64, "api")
    assert [period.server for period in serving_periods(project)] == ["command", "api"]
    assert (SignedLogs(project).unsigned, SignedLogs(project).differences()) == (1, [])
    aside.rename(key)
    promote(project, "2")
    assert SignedLogs(project).unsigned == 0
    assert [period.server for period in serving_periods(project)] == ["command", "api", "command"]


def test_nobody_else_writes_for_the_command_line(project: Project) -> None:
    promote(project, "1")
    path = project.records / SERVED
    path.write_text(chained(path.read_text(), {"at": "2026", "server": "command", "version": "9"}))
    assert [found.path for found in SignedLogs(project).differences()] == [SERVED]


def test_two_writers_at_once_lose_nothing(project: Project) -> None:
    threads = [threading.Thread(target=record_swap, args=(project, "1", "", f"api {n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(period.server for period in serving_periods(project)) == [f"api {n}" for n in range(4)]
    assert SignedLogs(project).differences() == []


def old_log(project: Project, entries: list[dict[str, Any]]) -> None:
    """A promotion log as the release before kept it, and a removal log that nobody signed."""
    text = ""
    for entry in entries:
        text = chained(text, entry)
    place, root = project.var / "old", project.root
    head = head_of(text)
    write_json({"length": head.length, "sha256": head.sha256}, place / "head" / "head.json")
    signer_of(project).sign(place / "head", place / "head.sig")
    signed, signature = (place / "head" / "head.json").read_text(), (place / "head.sig").read_text()
    files = {PROMOTIONS: text, HEAD: signed, "head.sig": signature}
    blobs = {name: git(root, "hash-object", "-w", "--stdin", stdin=content) for name, content in files.items()}
    tree = git(root, "mktree", stdin="".join(f"100644 blob {blob}\t{name}\n" for name, blob in blobs.items()))
    git(root, "update-ref", OLD_REF, git(root, "commit-tree", tree, "-m", "old"))
    project.records.mkdir(parents=True)
    (project.records / PROMOTIONS).write_text(text)
    facts = {"at": "2026", "who": "ana", "kind": PRUNED, "reason": "old", "versions": ["7"], "objects": []}
    (project.records / REMOVALS).write_text(chained("", facts))


OLD = {"at": "2026-01-01", "who": "ana", "action": PROMOTED, "version_from": "", "version_to": "1", "reason": "first",
       "provenance_sha256": "d" * 64, "forced": False, "gates": {"micro_f1": "passed"}}  # fmt: skip


def test_logs_of_the_release_before_are_read_and_taken_in_by_the_first_act(project: Project) -> None:
    old_log(project, [OLD])
    assert [p.version_to for p in promotions(project)] == ["1"]
    assert SignedLogs(project).head is None
    promote(project, "2")
    assert [p.version_to for p in promotions(project)] == ["1", "2"]
    assert [removal.versions for removal in removals(project)] == [("7",)]
    head = SignedLogs(project).head
    assert head is not None
    assert head.logs[REMOVALS].length == 1


def test_an_old_log_that_was_edited_is_not_taken_in(project: Project) -> None:
    old_log(project, [OLD])
    (project.records / PROMOTIONS).write_text(chained("", {**OLD, "who": "eve"}))
    with pytest.raises(VerificationFailed, match=PROMOTIONS):
        promote(project, "2")


def test_a_ref_that_nothing_here_can_vouch_for_is_kept_when_logs_begin_anew(project: Project) -> None:
    promote(project, "1")
    before = SignedLogs(project).commit
    aside = begin_anew(project)
    assert git(project.root, "rev-parse", aside) == before
    assert SignedLogs(project).commit == ""


@pytest.mark.parametrize("line", ["", "[]", "{}", "[" * 10_000, '{"logs": {"a": 1}}', "\x00"])
def test_what_is_no_head_is_one_line(line: str) -> None:
    with pytest.raises(VerificationFailed, match="no signed head") as refused:
        parse_head(line, "somewhere")
    assert "\n" not in str(refused.value)


def test_a_head_that_says_more_than_it_signed_is_none(project: Project) -> None:
    promote(project, "1")
    head = SignedLogs(project).head
    assert head is not None
    with pytest.raises(VerificationFailed):
        parse_head(json.dumps({**json.loads(head.to_line()), "note": "trust me"}), "a line")
    with pytest.raises(VerificationFailed, match="not by the key"):
        parse_head(head.to_line().replace('"at":"20', '"at":"19'), "a line").check(signer_of(project))
