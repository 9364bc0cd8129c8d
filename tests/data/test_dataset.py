"""The shipped dataset is what its datasheet says, and no toy."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import yaml
from sandbox import ROOT
from threadpoolctl import threadpool_limits

from pipeline.data.agents import read_agents
from pipeline.data.folds import make_folds
from pipeline.data.outcomes import from_labels, read_outcomes, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.similarity import nearest
from pipeline.learning.trigger_phrases import trigger_phrases
from pipeline.metrics.multilabel import micro_f1
from pipeline.routers.finetuning import FinetuningParams
from pipeline.routers.fitting import crossvalidate
from pipeline.runtime.tables import read_table
from pipeline.stages.split import read_holdout
from pipeline.validation.text_overlap import holdout_overlap

DATA = ROOT / "data"
PROMPTS = DATA / "prompts.csv"
PARAMS = yaml.safe_load((DATA.parent / "params.yaml").read_text(encoding="utf-8"))
NAMES = [agent.name for agent in read_agents(DATA / "agents.yaml")]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return read_table(PROMPTS)


@pytest.fixture(scope="module")
def counts(rows: pd.DataFrame) -> pd.Series:
    """Prompts of each agent, fewest first."""
    return rows["agents"].map(split_agents).explode().value_counts().reindex(NAMES, fill_value=0).sort_values()


def test_it_has_502_prompts_of_twenty_agents(rows: pd.DataFrame, counts: pd.Series) -> None:
    assert rows.columns.tolist() == ["prompt_id", "prompt", "agents", "annotator", "source", "added_on", "line"]
    assert len(rows) == rows["prompt_id"].nunique() == 502
    assert len(counts) == 20
    assert (rows["source"] == "written").all()
    read_outcomes(PROMPTS, NAMES)


def test_two_prompts_in_five_need_several_agents_and_none_more_than_four(rows: pd.DataFrame) -> None:
    needed = rows["agents"].map(split_agents).map(len)
    assert (needed >= 2).mean() >= 0.40
    assert needed.max() <= 4


def test_the_tail_is_long(counts: pd.Series) -> None:
    assert counts.iloc[:4].between(6, 10).all()
    assert counts.iloc[-1] >= 60


def test_no_two_prompts_say_the_same(rows: pd.DataFrame, minilm: FrozenEmbedding) -> None:
    vectors = minilm.embed(list(rows["prompt"]))
    partner, cosine = nearest(vectors, vectors, earlier_only=True)
    worst = int(cosine.argmax())
    assert cosine[worst] < PARAMS["validate"]["near_duplicate_cosine"] == 0.92, (
        rows["prompt_id"].iloc[worst], rows["prompt_id"].iloc[partner[worst]]
    )  # fmt: skip


def test_no_train_row_holds_a_holdout_row_and_no_phrase_grips_an_agent(
    rows: pd.DataFrame, minilm: FrozenEmbedding
) -> None:
    held = rows["prompt_id"].isin(read_holdout(DATA / "holdout.txt"))
    _, shares = holdout_overlap(list(rows["prompt"][~held]), list(rows["prompt"][held]))
    assert shares.max() < PARAMS["validate"]["holdout_overlap"]
    train = from_labels(rows[~held].reset_index(drop=True), NAMES)
    assert trigger_phrases(train, minilm.embed(train.prompts), PARAMS["label_noise"]["trigger_grip"]) == []


def test_prompts_run_from_three_words_to_several_paragraphs(rows: pd.DataFrame) -> None:
    words = rows["prompt"].str.split().str.len()
    paragraphs = rows["prompt"].str.split(r"\n\s*\n", regex=True).str.len()
    assert words.min() <= 3
    assert paragraphs[words.idxmax()] >= 3
    assert words.max() >= 100


def test_no_template_opens_many_prompts(rows: pd.DataFrame) -> None:
    openings = rows["prompt"].str.lower().str.split().str[:3].str.join(" ").value_counts()
    assert openings.iloc[0] <= 5, openings.head()


def test_its_bytes_are_those_that_dvc_records_and_the_remote_in_the_repository_holds() -> None:
    (recorded,) = yaml.safe_load((DATA / "prompts.csv.dvc").read_text(encoding="utf-8"))["outs"]
    content = PROMPTS.read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert (recorded["path"], recorded["md5"], recorded["size"]) == ("prompts.csv", digest, len(content))
    assert (DATA / "remote/files/md5" / digest[:2] / digest[2:]).read_bytes() == content


def test_words_alone_do_not_solve_it(rows: pd.DataFrame) -> None:
    """Word TF-IDF with one logistic regression an agent, tuned inside each fold, cross-validated on train."""
    train = from_labels(rows[~rows["prompt_id"].isin(read_holdout(DATA / "holdout.txt"))], NAMES)
    folds = make_folds(train, 5, PARAMS["run"]["seed"])
    with threadpool_limits(1, "blas"):
        predictions = crossvalidate("tfidf", train, folds, FinetuningParams(), PARAMS["run"]["seed"])
    score = micro_f1(train.quality > 0.5, predictions.chosen)
    assert 0.30 < score < 0.75
    assert np.isfinite(predictions.quality).all()
