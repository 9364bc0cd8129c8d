"""Graded outcomes travel from `validate` through `split` to what `train` and `evaluate` read, each figure as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sandbox import ROOT

from pipeline.data.fates import KEPT, QUARANTINED, read_fates
from pipeline.data.holdout import holdout_version
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.data.stage_rows import StageRows, graded_table, outcomes_of, read_joining, read_rows
from pipeline.runtime.tables import read_table, write_table
from pipeline.runtime.track import AGENTS, MODELS
from pipeline.stages.models_validate import ModelValidationParams, validate
from pipeline.stages.split import SplitParams, split

TABLE = Path("data/outcomes.parquet")
NAMES = ("a=1@0.5", "org/model v2", "plain", "prix: 3 € = cher @ 1")
LATER = "late = r"


def table(prompts: int = 60) -> pd.DataFrame:
    """Any figures in 0..1, a third of the pairs never tried, a fifth of the costs not known."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "prompt_id": np.repeat([f"q{i}" for i in range(prompts)], len(NAMES)),
            "prompt": np.repeat([f"What is {i} times {i + 3}?" for i in range(prompts)], len(NAMES)),
            "candidate": np.tile(NAMES, prompts),
            "quality": random.random(prompts * len(NAMES)),
            "cost": random.random(prompts * len(NAMES)) / 3,
            "dataset": np.repeat(["sums", None], prompts * len(NAMES) // 2),
        }
    )
    rows.loc[random.random(len(rows)) < 0.2, "cost"] = None
    return rows[(random.random(len(rows)) > 0.33) | (rows["candidate"] == "plain")].reset_index(drop=True)


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A folder in which `validate` and `split` ran, and the table that they began with."""
    shutil.copytree(ROOT / "data/expectations", tmp_path / "data/expectations")
    shutil.copy(ROOT / "data/agents.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    rows = table()
    write_table(rows, TABLE)
    later = rows.drop_duplicates("prompt_id").assign(candidate=LATER, cost=np.nan)
    write_table(later[["prompt_id", "candidate", "quality", "cost"]], Path("data/candidates/late.parquet"))
    Path("data/held_out.txt").write_text("\n".join(f"q{i}" for i in range(0, 60, 4)), encoding="utf-8")
    validate(ModelValidationParams(table=TABLE.as_posix(), max_quarantined_share=0.02))
    split(SplitParams(holdout="data/held_out.txt", folds=3, holdout_share=0.25, holdout_minimum=1), 7, MODELS)
    return rows


def test_every_outcome_that_train_reads_is_the_one_of_the_table(night: pd.DataFrame) -> None:
    known, found = read_outcomes(TABLE), read_rows(MODELS, MODELS.learnt).outcomes()
    assert found.candidates == known.candidates == tuple(sorted(NAMES))
    rows = np.array([known.prompt_ids.index(name) for name in found.prompt_ids])
    assert found.prompt_ids == tuple(f"q{i}" for i in range(60) if i % 4)
    np.testing.assert_array_equal(found.quality, known.quality[rows])
    np.testing.assert_array_equal(found.cost, known.cost[rows])
    assert np.isnan(found.quality).any()
    assert (np.isnan(found.cost) & ~np.isnan(found.quality)).any()
    assert found.datasets == tuple("sums" if int(name[1:]) < 30 else "" for name in found.prompt_ids)
    assert not found.is_labels


def test_the_holdout_is_judged_with_later_candidates_and_train_never_sees_them(night: pd.DataFrame) -> None:
    known = read_outcomes(TABLE)
    names = (*known.candidates, LATER)
    holdout = read_rows(MODELS, MODELS.held_out).outcomes(names)
    rows = np.array([known.prompt_ids.index(name) for name in holdout.prompt_ids])
    np.testing.assert_array_equal(holdout.quality[:, :-1], known.quality[rows])
    assert not np.isnan(holdout.quality[:, -1]).any()
    assert np.isnan(holdout.cost[:, -1]).all()
    learnt = read_rows(MODELS, MODELS.learnt)
    assert learnt.graded is not None
    assert LATER not in set(learnt.graded["candidate"])
    assert set(read_joining("split")["prompt_id"]) == set(learnt.prompts["prompt_id"])
    assert set(learnt.graded["prompt_id"]).isdisjoint(holdout.prompt_ids)
    joined = learnt.joined_by(read_joining("split")).outcomes(names)
    np.testing.assert_array_equal(joined.quality[:, :-1], learnt.outcomes().quality)
    assert not np.isnan(joined.quality[:, -1]).any()


def test_a_row_is_shown_with_the_candidates_that_did_best(night: pd.DataFrame) -> None:
    learnt = read_rows(MODELS, MODELS.learnt)
    outcomes = learnt.outcomes()
    best = np.nanargmax(outcomes.quality, axis=1)
    assert learnt.labelled()["agents"].tolist() == [outcomes.candidates[i] for i in best]
    assert "agents" not in learnt.prompts.columns
    equal = pd.DataFrame({"prompt_id": ["x", "x"], "candidate": ["b", "c"], "quality": [0.5, 0.5], "cost": [1.0, 2.0]})
    prompts = pd.DataFrame({"prompt_id": ["x", "y"], "prompt": ["one", "two"]})
    assert StageRows(prompts, equal).labelled()["agents"].tolist() == ["b|c", ""]


def test_an_empty_table_of_outcomes_is_written_and_read(tmp_path: Path) -> None:
    prompts = pd.DataFrame({"prompt_id": ["x", "y"], "prompt": ["one", "two"]})
    none = graded_table(of_nobody(prompts))
    none.to_parquet(tmp_path / "none.parquet")
    found = outcomes_of(prompts, pd.read_parquet(tmp_path / "none.parquet"), ("a",))
    assert found.quality.shape == (2, 1)
    assert np.isnan(found.quality).all()
    assert outcomes_of(prompts, none).candidates == ()


def of_nobody(prompts: pd.DataFrame) -> Outcomes:
    nothing = np.zeros((len(prompts), 0), np.float32)
    return Outcomes(tuple(prompts["prompt_id"]), tuple(prompts["prompt"]), (), nothing, nothing, is_labels=False)


def test_the_holdouts_version_changes_with_an_outcome_and_not_with_the_order(night: pd.DataFrame) -> None:
    holdout = read_rows(MODELS, MODELS.held_out)
    assert holdout.graded is not None
    version = holdout_version(holdout.prompts, holdout.graded)
    assert holdout_version(holdout.prompts[::-1], holdout.graded.sample(frac=1, random_state=0)) == version
    for column, value in {"quality": 0.123, "cost": 0.123, "candidate": "other"}.items():
        changed = holdout.graded.copy()
        changed.loc[0, column] = value
        assert holdout_version(holdout.prompts, changed) != version, column
    assert holdout_version(holdout.prompts, holdout.graded.iloc[1:]) != version


def test_labels_are_read_as_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("remote"))
    rows = read_table(Path("data/prompts.csv"))
    write_table(rows, AGENTS.stages / AGENTS.valid)
    found = read_rows(AGENTS, AGENTS.valid)
    assert found.graded is None
    assert found.labelled()["agents"].tolist() == rows["agents"].tolist()
    assert found.outcomes().is_labels


def test_a_train_row_that_holds_a_holdout_row_leaves_it_with_a_reason(night: pd.DataFrame) -> None:
    """Also where most of the prompt is something else, as an instruction that all of a benchmark's share."""
    valid = read_rows(MODELS, MODELS.valid)
    prompts, names = valid.prompts, valid.prompts["prompt_id"]
    asked = "How many barrels of tar does the yard at Holmen need for a cutter of nineteen metres?"
    prompts.loc[names == "q4", "prompt"] = asked
    prompts.loc[names == "q5", "prompt"] = f"Read the notes of the foreman, then answer in a line. {asked.upper()}"
    StageRows(prompts, valid.graded).write(MODELS.stages / "validate/rows.parquet")
    params = SplitParams(
        holdout="data/held_out.txt", folds=3, holdout_share=0.25, holdout_minimum=1, holdout_overlap=0.7
    )
    assert split(params, 7, MODELS)["leaking"] == 1
    assert "q5" not in set(read_rows(MODELS, MODELS.learnt).prompts["prompt_id"])
    fates = read_fates("split", MODELS.stages / "fates").set_index("prompt_id")
    assert fates.loc["q5", ["fate", "reason"]].tolist() == [QUARANTINED, "holds 100% of q4"]
    assert (fates.drop("q5")["fate"] == KEPT).all()
