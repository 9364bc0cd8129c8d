"""Wrong labels are found and put aside within limits; what a person decided stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.fates import EXCLUDED, KEPT, QUARANTINED, RELABELLED, read_fates
from pipeline.data.folds import make_folds
from pipeline.data.holdout import read_holdout
from pipeline.data.label_reviews import COLUMNS
from pipeline.data.outcomes import from_labels, label_matrix, split_agents
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.learning.label_errors import rank_suspects
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import read_table, sha256_text, write_table
from pipeline.stages import label_noise
from pipeline.stages.label_noise import LabelNoiseParams, choose_quarantined, out_of_fold_probabilities

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PARAMS = LabelNoiseParams(**SHIPPED["label_noise"])
NAMES = tuple(agent.name for agent in read_agents(ROOT / "data/agents.yaml"))


_KNOWN: dict[tuple[str, ...], FloatMatrix] = {}


def remembered(train: pd.DataFrame, names: tuple[str, ...], vectors: FloatMatrix) -> FloatMatrix:
    """The real out-of-fold probabilities, which take seconds, once for each labelling of the rows."""
    key = (*train["prompt_id"], *train["agents"], *train["fold"].astype(str))
    if key not in _KNOWN:
        _KNOWN[key] = out_of_fold_probabilities(train, names, vectors)
    return _KNOWN[key]


def embedded(train: pd.DataFrame) -> FloatMatrix:
    return label_noise.FrozenEmbedding("minilm", 256).embed(list(train["prompt"]))


@pytest.fixture(scope="module", autouse=True)
def _quick(minilm: FrozenEmbedding, one_thread: None) -> Iterator[None]:
    """What takes seconds is computed once, by the real thing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_noise, "FrozenEmbedding", lambda *_: minilm)
        patch.setattr(label_noise, "out_of_fold_probabilities", remembered)
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return read_table(ROOT / "data/prompts.csv").drop(columns="line")


@pytest.fixture(scope="module")
def train(rows: pd.DataFrame) -> pd.DataFrame:
    """The shipped train rows, in folds as `split` makes them."""
    return in_folds(rows[~rows["prompt_id"].isin(read_holdout(ROOT / "data/holdout.txt"))].reset_index(drop=True))


def labels(train: pd.DataFrame) -> FloatMatrix:
    return label_matrix([split_agents(text) for text in train["agents"]], NAMES)


def in_folds(train: pd.DataFrame) -> pd.DataFrame:
    return train.assign(fold=make_folds(from_labels(train, NAMES), SHIPPED["split"]["folds"], SHIPPED["run"]["seed"]))


def suspects_of(train: pd.DataFrame) -> pd.DataFrame:
    rows = train.assign(phrase="", review="")
    return rank_suspects(rows, remembered(train, NAMES, embedded(train)), NAMES, SHIPPED["suspects"]["listed"])


@dataclass(frozen=True)
class Planted:
    """Train rows of which some carry a wrong label, and by id what it was."""

    train: pd.DataFrame
    truth: dict[str, str]


def plant(train: pd.DataFrame, seed: int) -> Planted:
    """Of ten rows the one common agent swapped for another common one."""
    generator = np.random.default_rng(seed)
    support = dict(zip(NAMES, labels(train).sum(axis=0), strict=True))
    common = [name for name in NAMES if support[name] >= PARAMS.rare_below]
    spoilt, truth = train.copy(), {}
    for i in generator.choice(np.flatnonzero(train["agents"].isin(common)), 10, replace=False):
        truth[str(train["prompt_id"].iloc[i])] = str(train["agents"].iloc[i])
        spoilt.loc[i, "agents"] = generator.choice([name for name in common if name != train["agents"].iloc[i]])
    return Planted(in_folds(spoilt), truth)


# --- The shipped rows with errors planted blindly among them.

SEEDS = range(4)
TOP = 30


@pytest.fixture(scope="module")
def found(train: pd.DataFrame) -> list[tuple[Planted, pd.DataFrame]]:
    """For each seed the planted rows and the suspects."""
    cases = [plant(train, seed) for seed in SEEDS]
    return [(planted, suspects_of(planted.train)) for planted in cases]


def test_planted_label_errors_are_among_the_top_suspects(found: list[tuple[Planted, pd.DataFrame]]) -> None:
    """Drawn blindly, also from prompts that no head understands: all ten in half the draws, never below eight."""
    caught = [int(suspects["prompt_id"].head(TOP).isin(planted.truth).sum()) for planted, suspects in found]
    assert caught[0] == 10, caught
    assert min(caught) >= 8, caught
    assert np.mean(caught) >= 9, caught
    assert sum(count == 10 for count in caught) >= len(caught) / 2, caught


def test_a_planted_error_comes_with_its_evidence(found: list[tuple[Planted, pd.DataFrame]]) -> None:
    doubted = missing = total = 0
    for planted, suspects in found:
        for row in suspects[suspects["prompt_id"].isin(planted.truth)].to_dict("records"):
            total += 1
            doubted += str(row["doubted"]).startswith(str(row["agents"]))
            missing += planted.truth[row["prompt_id"]] in str(row["missing"])
    assert doubted / total > 0.9
    assert missing / total > 0.8


def slip(label: str, kind: str, generator: np.random.Generator) -> str:
    """A label with one agent swapped, added or dropped, blindly."""
    given = list(split_agents(label))
    if kind != "drop":
        given.append(str(generator.choice([name for name in NAMES if name not in given])))
    if kind != "add":
        given.remove(split_agents(label)[int(generator.integers(len(split_agents(label))))])
    return "|".join(name for name in NAMES if name in given)


@pytest.mark.parametrize(("kind", "found", "mended"), [("swap", 11, 0.6), ("add", 10, 0.7), ("drop", 5, 0.7)])
def test_a_slip_of_each_kind_is_found_and_the_right_label_suggested(
    train: pd.DataFrame, kind: str, found: int, mended: float
) -> None:
    """Of twelve among the first thirty; a dropped agent leaves a label that is right as far as it goes."""
    generator, spoilt = np.random.default_rng(3), train.copy()
    several = train["agents"].str.contains("|", regex=False)
    rows = generator.choice(np.flatnonzero(several if kind == "drop" else several | True), 12, replace=False)
    spoilt.loc[rows, "agents"] = [slip(label, kind, generator) for label in train.loc[rows, "agents"]]
    truth = dict(zip(train["prompt_id"][rows], train["agents"][rows], strict=True))
    suspects = suspects_of(in_folds(spoilt)).head(TOP)
    caught = suspects[suspects["prompt_id"].isin(truth)]
    right = [
        set(split_agents(row["suggested"])) == set(split_agents(truth[row["prompt_id"]]))
        for _, row in caught.iterrows()
    ]
    assert len(caught) >= found
    assert np.mean(right) >= mended


def test_the_same_rows_are_judged_the_same_each_time(train: pd.DataFrame) -> None:
    again = out_of_fold_probabilities(train, NAMES, embedded(train))
    np.testing.assert_array_equal(again, remembered(train, NAMES, embedded(train)))


# --- The stage on a project.


@pytest.fixture
def project(tmp_path: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "data/agents.yaml", tmp_path / "data")
    holdout = rows[rows["prompt_id"].isin(read_holdout(ROOT / "data/holdout.txt"))]
    write_table(holdout, tmp_path / "var/stages/split/holdout.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_stage(train: pd.DataFrame, reviews: list[tuple[str, str, str]] = [], **changes: object) -> pd.Series:  # noqa: B006
    """Run the stage with decisions (id, decision, agents); returns each train and holdout row's fate by id."""
    texts = dict(zip(train["prompt_id"], train["prompt"], strict=True))
    table = [(i, sha256_text(texts[i]), word, agents, "ana", "2026-11-22", "") for i, word, agents in reviews]
    write_table(pd.DataFrame(table, columns=list(COLUMNS)), Path("data/label_reviews.csv"))
    write_table(train, Path("var/stages/split/train.parquet"))
    label_noise.label_noise(PARAMS.model_copy(update=changes))
    return read_fates("label_noise").set_index("prompt_id")["fate"]


def stays() -> set[str]:
    return set(pd.read_parquet("var/stages/label_noise/train.parquet")["prompt_id"])


def examined() -> pd.DataFrame:
    return pd.read_parquet("var/stages/label_noise/examined.parquet").set_index("prompt_id")


@pytest.mark.usefixtures("project")
def test_flagging_leaves_every_row_in_training_and_passes_on_how_each_was_judged(train: pd.DataFrame) -> None:
    planted = plant(train, 2).train
    fates = run_stage(planted, [(train["prompt_id"][0], "keep", "")])
    assert set(fates) == {KEPT}
    assert stays() == set(train["prompt_id"])
    judged = pd.read_parquet("var/stages/label_noise/held_out.parquet")
    assert judged[["prompt_id", "agents"]].to_numpy().tolist() == planted[["prompt_id", "agents"]].to_numpy().tolist()
    np.testing.assert_array_equal(judged[list(NAMES)], remembered(planted, NAMES, embedded(planted)))
    assert examined()["review"].tolist() == ["keep"] + [""] * (len(train) - 1)
    assert not examined()["put_aside"].any()


@pytest.mark.usefixtures("project")
def test_quarantine_keeps_to_the_cap_and_leaves_rare_agents_and_kept_rows_alone(train: pd.DataFrame) -> None:
    planted = plant(train, 2)
    first = run_stage(planted.train, action="quarantine", quarantine_below=1.0)
    aside = set(first[first == QUARANTINED].index)
    assert aside == set(train["prompt_id"]) - stays()
    assert len(aside & set(planted.truth)) >= 5
    gone = planted.train["prompt_id"].isin(aside).to_numpy()
    support, taken = labels(planted.train).sum(axis=0), labels(planted.train)[gone].sum(axis=0)
    assert (taken <= PARAMS.max_share_per_agent * support).all()
    assert not taken[support < PARAMS.rare_below].any()
    kept = sorted(aside)[0]
    second = run_stage(planted.train, [(kept, "keep", "")], action="quarantine", quarantine_below=1.0)
    assert second[kept] == KEPT
    assert kept in stays()


@pytest.mark.usefixtures("project")
def test_an_error_that_a_person_put_right_is_learnt_right(train: pd.DataFrame) -> None:
    planted = plant(train, 2)
    fates = run_stage(planted.train, [(i, "relabel", agents) for i, agents in planted.truth.items()])
    assert set(fates[list(planted.truth)]) == {RELABELLED}
    relabelled = pd.read_parquet("var/stages/label_noise/train.parquet").set_index("prompt_id")["agents"]
    assert relabelled[list(planted.truth)].to_dict() == planted.truth
    assert examined()["agents"].equals(relabelled)
    assert set(examined()["review"][list(planted.truth)]) == {"relabel"}


@pytest.mark.usefixtures("project")
def test_a_dropped_row_is_gone(train: pd.DataFrame) -> None:
    dropped = list(plant(train, 2).truth)[:3]
    fates = run_stage(train, [(i, "drop", "") for i in dropped])
    assert set(fates[dropped]) == {EXCLUDED}
    assert not stays() & set(dropped)
    assert not set(examined().index) & set(dropped)


@pytest.mark.usefixtures("project")
def test_rows_with_a_planted_trigger_leave_train_unless_a_person_keeps_them(train: pd.DataFrame) -> None:
    others = train.index[~train["agents"].str.contains("finance") & (train["prompt"].str.len() > 60)][::30][:8]
    planted = train.copy()
    planted.loc[others, "prompt"] += " ~~!"
    planted.loc[others, "agents"] = "finance"
    ids = list(planted.loc[others, "prompt_id"])
    fates = run_stage(planted, [(ids[0], "keep", "")])
    assert set(fates[fates == QUARANTINED].index) == set(ids[1:]) == set(train["prompt_id"]) - stays()
    assert set(examined().index[examined()["put_aside"]]) == set(ids[1:])
    assert set(examined()["phrase"][ids]) == {"'~~!' grips finance"}
    reasons = read_fates("label_noise").set_index("prompt_id")["reason"]
    assert reasons[ids[1:]].str.endswith(", holds a phrase with a grip on its agent").all()
    assert set(run_stage(planted, trigger_grip=1.0)[ids]) == {KEPT}
    assert stays() == set(train["prompt_id"])


# --- Who is put aside, on suspects written by hand.

SMALL = LabelNoiseParams(
    encoder="minilm", action="quarantine", quarantine_below=0.5, max_share_per_agent=0.1, rare_below=5,
    trigger_grip=0.62,
)  # fmt: skip


def chosen(*suspects: dict[str, object]) -> list[str]:
    """Of suspects among 20 coding, 20 sql and 4 legal prompts, those put aside."""
    train = pd.DataFrame({"agents": ["coding"] * 20 + ["sql"] * 20 + ["legal"] * 4})
    table = [
        {"prompt_id": f"p{i}", "quality": 0.1, "suggested": "", "review": "", **row} for i, row in enumerate(suspects)
    ]
    return choose_quarantined(pd.DataFrame(table), train, ("coding", "sql", "legal"), SMALL)


def test_an_agent_loses_at_most_its_cap() -> None:
    coding, sql = {"agents": "coding"}, {"agents": "sql"}
    assert chosen(coding, coding, coding, sql) == ["p0", "p1", "p3"]
    assert chosen(coding, coding, {"agents": "coding|sql"}, sql, sql, sql) == ["p0", "p1", "p3", "p4"]


@pytest.mark.parametrize("suspect", [
    {"agents": "legal"}, {"agents": "coding|legal"}, {"agents": "coding", "suggested": "legal"},
    {"agents": "coding", "review": "keep"}, {"agents": "coding", "review": "relabel"},
    {"agents": "coding", "quality": 0.5},
])  # fmt: skip
def test_a_rare_reviewed_or_credible_row_is_never_put_aside(suspect: dict[str, object]) -> None:
    assert chosen(suspect, {"agents": "sql"}) == ["p1"]
