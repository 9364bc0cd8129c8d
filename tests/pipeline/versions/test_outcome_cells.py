"""Versions of the models' track from before outcomes had a table of their own still tell what they told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_versions import Recipe, row, write_folder

from pipeline.data.holdout import candidates_in, truth_in
from pipeline.runtime.errors import TableError, VerificationFailed
from pipeline.runtime.tables import sha256_text, write_table
from pipeline.versions.folder import EVIDENCE, LINEAGE, OUTCOMES, PREDICTIONS, SUSPECTS, VersionFolder
from pipeline.versions.outcome_cells import best_in, graded_in
from pipeline.versions.trace_index import lineage_rows

CELL = "gpt-4=1@0.0031|llama=0.25|a=b@c=1@2.5e-07"


def predictions(cell: str) -> dict[str, object]:
    facts = {"prompt_id": "p2", "text_sha256": sha256_text("p2"), "agents": cell, "chosen": "llama"}
    return {**facts, "a=b@c": 0.1, "gpt-4": 0.8, "llama": 0.9}


def older(root: Path, cell: str = CELL) -> VersionFolder:
    rows = (row("p1", "gpt-4=0.5|llama=0.75@0.1"), row("p2", CELL, split="holdout"), row("p3", "", split=""))
    folder = write_folder(root, Recipe(rows=rows, answers=(predictions(cell),), run_key="models-1"))
    (folder.root / EVIDENCE / SUSPECTS).unlink()
    return folder


def test_rows_are_shown_with_the_candidates_that_did_best(tmp_path: Path) -> None:
    folder = older(tmp_path)
    assert folder.table(LINEAGE)["agents"].tolist() == ["llama", "gpt-4|a=b@c", ""]
    assert folder.table(PREDICTIONS)["agents"].tolist() == ["gpt-4|a=b@c"]
    assert [found.agents for found in lineage_rows(folder.root / EVIDENCE / LINEAGE)] == ["llama", "gpt-4|a=b@c", ""]


def test_what_was_graded_on_the_holdout_is_read_to_the_last_digit(tmp_path: Path) -> None:
    folder = older(tmp_path)
    table = folder.table(PREDICTIONS)
    truth = truth_in(table, candidates_in(table), folder.graded())
    assert truth.candidates == ("a=b@c", "gpt-4", "llama")
    np.testing.assert_array_equal(truth.quality, np.array([[1, 1, 0.25]], np.float32))
    np.testing.assert_array_equal(truth.cost, np.array([[2.5e-07, 0.0031, np.nan]], np.float32))


def test_a_version_with_a_table_of_outcomes_is_read_from_it_whatever_its_labels_look_like(tmp_path: Path) -> None:
    folder = older(tmp_path, cell="x=1")
    graded = pd.DataFrame({"prompt_id": ["p2"], "candidate": ["x=1"], "quality": [0.5], "cost": [np.nan]})
    write_table(graded, folder.root / EVIDENCE / OUTCOMES)
    assert folder.graded().equals(graded)
    assert folder.table(PREDICTIONS)["agents"].tolist() == ["x=1"]
    assert [found.agents for found in lineage_rows(folder.root / EVIDENCE / LINEAGE)][1] == CELL


def test_labels_of_agents_are_never_taken_for_outcomes(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path, Recipe(rows=(row("p1", "sql=1|email=0", "quarantined", split=""), row("p2", "sql")))
    )
    assert folder.table(LINEAGE)["agents"].tolist() == ["sql=1|email=0", "sql"]


def test_what_is_no_outcome_stays_as_it_is_where_shown_and_is_refused_where_it_counts(tmp_path: Path) -> None:
    assert [best_in(cell) for cell in ("", "sql|email", "sql=yes|email", "a=0|b=0")] == [
        "", "sql|email", "sql=yes|email", "a|b"
    ]  # fmt: skip
    with pytest.raises(TableError, match="'gpt-4=x' is not candidate=quality@cost"):
        graded_in(pd.DataFrame({"prompt_id": ["p"], "agents": ["gpt-4=x"]}))
    with pytest.raises(VerificationFailed, match=r"predictions\.parquet cannot be read"):
        older(tmp_path, cell="gpt-4=x").graded()
