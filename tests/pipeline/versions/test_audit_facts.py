"""Counts, filters and decisions of a version's folder, against what the test planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_versions import AGENTS, Recipe, row, write_folder

from pipeline.metrics.multilabel import CandidateScores
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.tables import sha256_text
from pipeline.versions.audit_facts import (
    IN_FORCE,
    NO_AGENT,
    STALE,
    SUPERSEDED,
    RowFilter,
    VersionFacts,
    chosen_rows,
    plain_rows,
    read_version,
)
from pipeline.versions.folder import EVIDENCE

PLANTED = (
    row("p1", "coding"),
    row("p2", "coding|email", "relabelled", reason="ana: was sql"),
    row("p3", "email", "flagged"),
    row("p4", "sql", split="holdout"),
    row("p5", "sql", "excluded", split="", reason="bo: dropped"),
    row("p6", "codng", "quarantined", split=""),
    row("p7", "", "quarantined", split=""),
    row("a1", "sql", "augmented", parents="p4", method="surface"),
    row("a2", "sql", "refused", split=""),
)
REVIEWS = (
    f"p2,{sha256_text('p2')},keep,,bo,2026-01-01,",
    f'p2,{sha256_text("p2")},relabel,coding|email,ana,2026-01-02,"asked, twice"',
    f"p5,{sha256_text('another text')},drop,,bo,2026-01-03,",
)


@pytest.fixture
def facts(tmp_path: Path) -> VersionFacts:
    return read_version(write_folder(tmp_path / "router", Recipe(rows=PLANTED, reviews=REVIEWS)))


def ids(rows: pd.DataFrame) -> list[str]:
    return list(rows["prompt_id"])


def test_every_row_is_counted_once_by_fate(facts: VersionFacts) -> None:
    assert facts.fates == {
        "kept": 2, "flagged": 1, "relabelled": 1, "excluded": 1, "quarantined": 2, "augmented": 1, "refused": 1
    }  # fmt: skip
    assert sum(facts.fates.values()) == len(PLANTED)
    assert (facts.taught, facts.split("train"), facts.split("holdout")) == (4, 4, 1)


def test_a_row_of_two_agents_counts_under_both(facts: VersionFacts) -> None:
    found = {one.agent: one for one in facts.agents}
    assert (found["coding"].fates["relabelled"], found["email"].fates["relabelled"]) == (1, 1)
    assert (found["coding"].taught, found["email"].taught, found["sql"].taught) == (2, 2, 1)
    assert (found["sql"].holdout, found["coding"].holdout) == (1, 0)


def test_an_agent_that_is_never_found_is_told_and_one_that_was_not_asked_for_is_not(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "router", Recipe(rows=PLANTED))
    place = folder.root / EVIDENCE / "metrics.json"
    scores = [CandidateScores("sql", 0.0, 0.0, 0.0, 1), CandidateScores("email", 0.0, 0.0, 0.0, 0)]
    place.write_text(json.dumps(json.loads(place.read_text()) | {"per_agent": [vars(one) for one in scores]}))
    found = {one.agent: one for one in read_version(folder).agents}
    assert (found["sql"].f1, found["email"].f1, found["coding"].f1) == (0.0, None, None)
    assert [name for name, one in found.items() if one.is_missed] == ["sql"]


def test_labels_that_no_agent_bears_are_counted_too(facts: VersionFacts) -> None:
    assert [one.agent for one in facts.agents] == [*AGENTS, "codng", NO_AGENT]
    assert {one.agent: one.fates["quarantined"] for one in facts.agents if one.fates["quarantined"]} == {
        "codng": 1,
        NO_AGENT: 1,
    }


def test_a_decision_that_was_overruled_or_lost_its_text_is_said_to_be_so(facts: VersionFacts) -> None:
    assert [(r.prompt_id, r.decision, r.standing) for r in facts.reviews] == [
        ("p2", "keep", SUPERSEDED),
        ("p2", "relabel", IN_FORCE),
        ("p5", "drop", STALE),
    ]
    assert (facts.reviews[1].note, facts.reviews[1].reviewer) == ("asked, twice", "ana")


def test_no_decision_at_all_is_an_empty_list(tmp_path: Path) -> None:
    assert read_version(write_folder(tmp_path / "router", Recipe())).reviews == ()


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (RowFilter(), ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "a1", "a2"]),
        (RowFilter(agent="email"), ["p2", "p3"]),
        (RowFilter(agent="codng"), ["p6"]),
        (RowFilter(agent=NO_AGENT), ["p7"]),
        (RowFilter(fate="excluded"), ["p5"]),
        (RowFilter(split="holdout"), ["p4"]),
        (RowFilter(agent="sql", split="train"), ["a1"]),
        (RowFilter(agent="email", fate="kept"), []),
    ],
)
def test_filters_give_the_rows_that_meet_all_of_them(
    facts: VersionFacts, which: RowFilter, expected: list[str]
) -> None:
    assert ids(chosen_rows(facts, which)) == expected


@pytest.mark.parametrize(
    ("which", "known"),
    [(RowFilter(agent="cod"), "coding, email, sql"), (RowFilter(fate="lost"), "kept, flagged"),
     (RowFilter(split="test"), "train, holdout")],
)  # fmt: skip
def test_an_unknown_filter_lists_what_is_known(facts: VersionFacts, which: RowFilter, known: str) -> None:
    with pytest.raises(InputError, match=known):
        chosen_rows(facts, which)


def test_rows_become_plain_values(facts: VersionFacts) -> None:
    first = plain_rows(facts.rows)[0]
    assert (first["taught"], first["line"], first["prompt_id"]) == (True, 1, "p1")
    assert {type(value) for value in first.values()} <= {bool, int, str}


@pytest.mark.parametrize("name", ["lineage.parquet", "metrics.json", "agents.yaml", "label_reviews.csv"])
def test_a_damaged_file_is_no_empty_answer(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "router", Recipe())
    (folder.root / "evidence" / name).write_text("[]")
    with pytest.raises(VerificationFailed):
        read_version(folder)


def test_a_lineage_without_its_columns_is_refused(tmp_path: Path) -> None:
    recipe = replace(Recipe(), rows=({"prompt_id": "p1"},))
    with pytest.raises(VerificationFailed, match="not what a night writes"):
        read_version(write_folder(tmp_path / "router", recipe))
