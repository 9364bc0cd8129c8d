"""New rows are few, honest about their parents, consistent with their label and far from the holdout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.fates import AUGMENTED, REFUSED, TRAIN, read_fates
from pipeline.data.folds import make_folds, parts
from pipeline.data.outcomes import from_labels, label_matrix, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.similarity import nearest
from pipeline.runtime.tables import read_table, write_table
from pipeline.stages import augment as augmentation
from pipeline.stages.augment import COMPOSE, SURFACE, AugmentationParams, augment
from pipeline.stages.split import read_holdout

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PARAMS = AugmentationParams(**SHIPPED["augment"])
SEED = SHIPPED["run"]["seed"]
NAMES = tuple(agent.name for agent in read_agents(ROOT / "data/agents.yaml"))
OUT = Path("var/stages/augment/train.parquet")


@pytest.fixture(scope="module", autouse=True)
def _quick(minilm: FrozenEmbedding, one_thread: None) -> Iterator[None]:
    """What takes seconds is computed once, by the real thing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "FrozenEmbedding", lambda *_: minilm)
        yield


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/agents.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def shipped() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The shipped train rows, in folds as `split` makes them, and the holdout."""
    rows = read_table(ROOT / "data/prompts.csv").drop(columns="line")
    held_out = rows["prompt_id"].isin(read_holdout(ROOT / "data/holdout.txt"))
    train = rows[~held_out].reset_index(drop=True)
    return train.assign(fold=make_folds(from_labels(train, NAMES), SHIPPED["split"]["folds"], SEED)), rows[held_out]


def run(train: pd.DataFrame, holdout: pd.DataFrame, **changes: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The new rows, and the fate of every draft."""
    write_table(train, Path("var/stages/label_noise/train.parquet"))
    write_table(holdout, Path("var/stages/label_noise/holdout.parquet"))
    summary = augment(PARAMS.model_copy(update=changes), SEED)
    written, fates = pd.read_parquet(OUT), read_fates("augment")
    pd.testing.assert_frame_equal(written.iloc[: len(train)][list(train.columns)], train, check_dtype=False)
    new = written.iloc[len(train) :].reset_index(drop=True)
    counts = {"train": len(written), "augmented": len(new), "refused": int((fates["fate"] == REFUSED).sum())}
    assert summary == counts
    return new, fates


def few(train: pd.DataFrame, below: int = PARAMS.agents_below) -> set[str]:
    support = label_matrix([split_agents(text) for text in train["agents"]], NAMES).sum(axis=0)
    return {name for name, count in zip(NAMES, support, strict=True) if count < below}


def parents_of(row: pd.Series, train: pd.DataFrame) -> pd.DataFrame:
    return train.set_index("prompt_id").loc[str(row["parents"]).split("|")]


def test_each_new_row_names_its_parents_and_its_method(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    train, holdout = shipped
    new, fates = run(train, holdout)
    assert len(new) >= 4
    assert set(new["method"]) <= {COMPOSE, SURFACE}
    for _, row in new.iterrows():
        parents = parents_of(row, train)
        assert len(parents) == (2 if row["method"] == COMPOSE else 1)
        assert set(split_agents(row["agents"])) == {name for text in parents["agents"] for name in split_agents(text)}
        if row["method"] == COMPOSE:
            assert all(text.rstrip(" .?!") in row["prompt"] for text in parents["prompt"])
    assert new["prompt_id"].is_unique
    assert not set(new["prompt_id"]) & set(train["prompt_id"])
    assert (new["source"] == "augment").all()
    accepted = fates[fates["fate"] == AUGMENTED]
    columns = ["prompt_id", "agents", "parents", "method"]
    assert accepted[columns].to_numpy().tolist() == new[columns].to_numpy().tolist()
    assert set(fates["split"]) == {TRAIN}
    assert (read_table(OUT)["parents"] == "").sum() == len(train)


def test_where_each_prompt_has_one_agent_no_two_are_joined(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    train, holdout = shipped
    single = train[~train["agents"].str.contains("|", regex=False)].reset_index(drop=True)
    new, fates = run(single, holdout)
    assert set(fates["method"]) == {SURFACE}
    assert not new["agents"].str.contains("|", regex=False).any()


def test_only_agents_below_the_threshold_get_rows_and_no_more_than_allowed(
    shipped: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    train, holdout = shipped
    assert few(train) == {"health", "legal", "speech", "image_understanding"}
    new, fates = run(train, holdout, min_consistency=0.0, holdout_cosine=1.0, max_per_parent=50)
    assert len(new) == PARAMS.rows_per_agent * len(few(train))
    for agents in [*new["agents"], *fates["agents"]]:
        assert set(split_agents(agents)) & few(train)
    only_one, _ = run(train, holdout, agents_below=6)
    assert few(train, 6) == {"image_understanding"}
    assert all("image_understanding" in split_agents(agents) for agents in only_one["agents"])
    none, fates = run(train, holdout, agents_below=0)
    assert len(none) == len(fates) == 0


def test_no_prompt_is_a_parent_too_often(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    train, holdout = shipped
    for cap in (1, 2):
        new, fates = run(train, holdout, max_per_parent=cap, min_consistency=0.0, rows_per_agent=20)
        often = pd.Series([parent for parents in new["parents"] for parent in parents.split("|")]).value_counts()
        assert often.max() == cap
        assert f"a parent already has {cap} rows" in set(fates["reason"])


def test_a_row_near_a_holdout_prompt_is_refused(
    shipped: tuple[pd.DataFrame, pd.DataFrame], minilm: FrozenEmbedding
) -> None:
    train, holdout = shipped
    before, _ = run(train, holdout, min_consistency=0.0)
    leaked = before.iloc[::2]
    copies = pd.concat([holdout, leaked.assign(prompt=leaked["prompt"] + " please!")], ignore_index=True)
    new, fates = run(train, copies, min_consistency=0.0)
    refused = fates[fates["prompt_id"].isin(leaked["prompt_id"])]
    assert len(refused) == len(leaked)
    assert set(refused["fate"]) == {REFUSED}
    assert refused["reason"].str.match(r"cosine (0\.\d\d|1\.00) to a holdout prompt").all()
    _, cosine = nearest(minilm.embed(list(new["prompt"])), minilm.embed(list(copies["prompt"])))
    assert cosine.max() < PARAMS.holdout_cosine


def test_a_row_that_says_what_its_parent_says_is_refused(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """There is nothing to mistype in numbers alone."""
    train, holdout = shipped
    rare = train["agents"].str.contains("legal")
    plain = train.copy()
    plain.loc[rare, "prompt"] = [f"§ {n} & {n + 1}" for n in range(rare.sum())]
    plain.loc[rare, "agents"] = "legal|sql"
    _, fates = run(plain, holdout, min_consistency=0.0)
    same = fates[fates["method"].eq(SURFACE) & fates["agents"].str.contains("legal")]
    assert len(same) > 0
    assert set(same["reason"]) == {"says what its parent says"}


def test_a_row_that_does_not_look_like_its_label_is_refused(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The only prompts of a rare agent are replaced by programmers' questions."""
    train, holdout = shipped
    spoilt = train.copy()
    rare = spoilt["agents"].str.contains("legal")
    code = [f"Why does my {name} loop crash with an index error in line {i}?" for i, name in enumerate("ijkmnpqrstuv")]
    spoilt.loc[rare, "prompt"] = code[: rare.sum()]
    spoilt.loc[rare, "agents"] = "legal"
    spoilt.loc[rare, "fold"] = 0
    _, fates = run(spoilt, holdout)
    lawless = fates[fates["agents"] == "legal"]
    assert len(lawless) > 0
    assert set(lawless["fate"]) == {REFUSED}
    assert lawless["reason"].str.match(r"label consistency 0\.[0-4]\d").all()
    _, fates = run(train, holdout)
    assert AUGMENTED in set(fates.loc[fates["agents"].str.contains("legal"), "fate"])


def test_children_carry_their_parents_fold_and_are_learnt_from_but_never_judged(
    shipped: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    train, holdout = shipped
    new, _ = run(train, holdout, min_consistency=0.0)
    for _, row in new.iterrows():
        assert set(parents_of(row, train)["fold"]) == {row["fold"]}
    written = pd.read_parquet(OUT)
    outcomes = replace(from_labels(written, NAMES), augmented=(written["parents"] != "").to_numpy())
    folds, row_of = written["fold"].to_numpy(), {name: i for i, name in enumerate(written["prompt_id"])}
    judged: list[int] = []
    for learnt, held_out in parts(outcomes, folds):
        judged += held_out.tolist()
        assert not set(learnt) & set(held_out)
        for i in range(len(train), len(written)):
            parents = {row_of[name] for name in written["parents"].iloc[i].split("|")}
            assert not (i in learnt and parents & set(held_out)), "a child is learnt from while its parent is judged"
    assert sorted(judged) == list(range(len(train)))


def test_the_same_seed_gives_the_same_bytes(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    run(*shipped)
    first = OUT.read_bytes(), Path("var/stages/fates/augment.parquet").read_bytes()
    run(*shipped)
    assert (OUT.read_bytes(), Path("var/stages/fates/augment.parquet").read_bytes()) == first


def test_switched_off_it_adds_nothing(shipped: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    new, fates = run(*shipped, enabled=False)
    assert len(new) == len(fates) == 0
