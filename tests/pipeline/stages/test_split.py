"""The holdout is frozen: what is in it is a file of ids, and nothing but an edit of that file changes it."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.fates import HOLDOUT, TRAIN, read_fates
from pipeline.data.holdout import HOLDOUT_FILE, holdout_version, read_holdout
from pipeline.data.holdout_draw import draw_holdout
from pipeline.data.outcomes import from_labels, label_matrix, split_agents
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_table, sha256_file, write_table
from pipeline.stages.split import SplitParams, split

SHIPPED_SHA256 = "3bdb6272615ee9cfe6d5a87aa89df4536408aed2c2c12ac00c2a094ec019fe3e"
"""Of data/holdout.txt. Another value is another holdout: a decision, to be written down in docs/decisions."""
PARAMS = SplitParams(**yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["split"])
NAMES = [agent.name for agent in read_agents(ROOT / "data/agents.yaml")]


@pytest.fixture
def rows() -> pd.DataFrame:
    return read_table(ROOT / "data/prompts.csv")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the stage reads, in a folder of its own."""
    (tmp_path / "data").mkdir()
    for name in ("data/agents.yaml", "data/holdout.txt", "data/prompts.csv", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def split_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Train, holdout and the holdout's version."""
    write_table(rows, Path("var/stages/validate/prompts.parquet"))
    summary = split(PARAMS, seed=7)
    tables = (pd.read_parquet(f"var/stages/split/{name}.parquet") for name in ("train", "holdout"))
    train, holdout = tables
    assert (summary["train"], summary["holdout"]) == (len(train), len(holdout))
    return train, holdout, str(summary["holdout_version"])


def support(rows: pd.DataFrame) -> np.ndarray:
    return label_matrix([split_agents(text) for text in rows["agents"]], NAMES).sum(axis=0)


# --- The shipped holdout.


def test_the_shipped_holdout_is_the_one_that_was_drawn() -> None:
    assert sha256_file(ROOT / "data/holdout.txt") == SHIPPED_SHA256


def test_every_agent_has_two_prompts_in_the_shipped_holdout_of_about_a_fifth(rows: pd.DataFrame) -> None:
    ids = read_holdout()
    held_out = rows[rows["prompt_id"].isin(ids)]
    assert len(held_out) == len(ids)
    assert 0.20 <= len(ids) / len(rows) <= 0.24
    assert support(held_out).min() >= 2
    common = support(rows) >= 20
    share = support(held_out)[common] / support(rows)[common]
    assert share.min() > 0.15
    assert share.max() < 0.30


# --- The stage.


def test_each_row_is_in_train_or_in_the_holdout_as_the_file_says(rows: pd.DataFrame) -> None:
    train, holdout, _ = split_rows(rows)
    assert set(holdout["prompt_id"]) == set(read_holdout())
    assert sorted([*train["prompt_id"], *holdout["prompt_id"]]) == sorted(rows["prompt_id"])
    fates = read_fates("split").set_index("prompt_id")["split"]
    assert fates.value_counts().to_dict() == {TRAIN: len(train), HOLDOUT: len(holdout)}
    assert set(fates[fates == HOLDOUT].index) == set(holdout["prompt_id"])


def test_a_new_row_joins_train_and_leaves_the_holdout_as_it_was(rows: pd.DataFrame) -> None:
    _, before, version = split_rows(rows)
    new = rows.iloc[[0]].assign(prompt_id="p9999", prompt="Where did I leave my keys?")
    train, after, same = split_rows(pd.concat([new, rows], ignore_index=True))
    assert train["prompt_id"].iloc[0] == "p9999"
    pd.testing.assert_frame_equal(before, after)
    assert same == version


def test_every_fold_has_its_share_and_the_same_seed_gives_the_same_folds(rows: pd.DataFrame) -> None:
    train, _, _ = split_rows(rows)
    assert sorted(train["fold"].unique()) == list(range(PARAMS.folds))
    sizes = train["fold"].value_counts()
    assert sizes.max() - sizes.min() <= 0.2 * len(train) / PARAMS.folds
    common = support(train) >= 4 * PARAMS.folds
    for _, fold in train.groupby("fold"):
        assert support(fold)[common].min() >= 1
    first = {path.name: path.read_bytes() for path in Path("var/stages/split").iterdir()}
    split_rows(rows)
    assert {path.name: path.read_bytes() for path in Path("var/stages/split").iterdir()} == first


@pytest.mark.parametrize("ids", [[], ["all"]], ids=["no_holdout", "no_train"])
def test_a_side_without_rows_stops_the_stage(ids: list[str], rows: pd.DataFrame) -> None:
    HOLDOUT_FILE.write_text("\n".join(rows["prompt_id"] if ids else []), encoding="utf-8")
    with pytest.raises(InputError, match=r"data/holdout\.txt leaves \d+ rows to train on and \d+ to hold out; mend it"):
        split_rows(rows)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda path: path.write_text("p1\n# p2\np2\np1\n"), "names p1 twice; remove one line"),
    (lambda path: path.write_bytes(b"p\xff"), "is missing or unreadable; restore it with git checkout"),
    (lambda path: path.unlink(), "is missing or unreadable; restore it with git checkout"),
    (lambda path: (path.unlink(), path.mkdir()), "is missing or unreadable; restore it with git checkout"),
])  # fmt: skip
def test_a_spoilt_file_of_ids_is_told_in_one_line(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    spoil(HOLDOUT_FILE)
    with pytest.raises(InputError, match=message) as error:
        read_holdout()
    assert "\n" not in str(error.value)


def test_a_mark_of_byte_order_is_no_part_of_the_first_line() -> None:
    HOLDOUT_FILE.write_bytes(b"\xef\xbb\xbf# ids\r\np1\r\n")
    assert read_holdout() == ("p1",)
    HOLDOUT_FILE.write_bytes(b"\xef\xbb\xbfp1\n")
    assert read_holdout() == ("p1",)


# --- The version names the content.


def test_the_version_changes_with_a_label_a_text_or_a_row_of_the_holdout_and_nothing_else(rows: pd.DataFrame) -> None:
    _, holdout, version = split_rows(rows)
    first = holdout.index[0]
    assert holdout_version(holdout.sample(frac=1, random_state=0)) == version
    assert holdout_version(holdout.assign(annotator="someone else")) == version
    for column, value in {"agents": "legal", "prompt": "Another text.", "prompt_id": "p9999"}.items():
        changed = holdout.copy()
        changed.loc[first, column] = value
        assert holdout_version(changed) != version, column
    assert holdout_version(holdout.iloc[1:]) != version


# --- Drawing.


def draw(seed: int | None = None) -> None:
    """`python -m pipeline.stages.split draw`, in this process."""
    if seed is not None:
        params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        params["run"]["seed"] = seed
        Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pipeline.stages.split", "draw"])
        patch.delitem(sys.modules, "pipeline.stages.split")
        runpy.run_module("pipeline.stages.split", run_name="__main__", alter_sys=True)


def test_a_frozen_holdout_is_never_drawn_over(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        draw(seed=8)
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "split: data/holdout.txt exists and is frozen; a new holdout is a decision: remove the file first\n"
    )
    assert sha256_file(HOLDOUT_FILE) == sha256_file(ROOT / "data/holdout.txt")


def test_a_draw_is_stratified_and_the_same_for_the_same_seed(rows: pd.DataFrame) -> None:
    HOLDOUT_FILE.unlink()
    draw()
    ids, first = read_holdout(), HOLDOUT_FILE.read_bytes()
    assert abs(len(ids) / len(rows) - PARAMS.holdout_share) < 0.02
    assert support(rows[rows["prompt_id"].isin(ids)]).min() >= PARAMS.holdout_minimum
    HOLDOUT_FILE.unlink()
    draw()
    assert HOLDOUT_FILE.read_bytes() == first
    HOLDOUT_FILE.unlink()
    draw(seed=8)
    assert read_holdout() != ids


def test_a_draw_that_would_starve_an_agent_is_refused(rows: pd.DataFrame) -> None:
    image = rows["agents"].str.contains("image_understanding")
    starved = rows[~image | (image.cumsum() <= 1)]
    with pytest.raises(InputError) as told:
        draw_holdout(from_labels(starved, NAMES), PARAMS.holdout_share, 2, 7, "split.holdout_minimum")
    assert str(told.value) == (
        "no draw gives every candidate 2 holdout prompts (image_understanding has 1 in all); add prompts or lower "
        "split.holdout_minimum"
    )


def test_a_draw_names_the_line_of_an_agent_that_there_is_not(
    rows: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    HOLDOUT_FILE.unlink()
    dataset = Path("data/prompts.csv")
    whole = dataset.read_text(encoding="utf-8")
    dataset.unlink()
    dataset.write_text(whole.replace(",travel", ",trvel", 1), encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        draw()
    assert stop.value.code == 2
    assert "trvel" in (said := capsys.readouterr().err), said
    assert said.startswith("split: data/prompts.csv, line "), said
    assert not HOLDOUT_FILE.exists()
