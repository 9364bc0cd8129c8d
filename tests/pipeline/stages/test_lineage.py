"""What happened to each row, after a night in which something happened to rows: nothing is dropped silently."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from sandbox import ROOT

from pipeline.data.fates import (
    AUGMENTED,
    EXCLUDED,
    FLAGGED,
    HOLDOUT,
    KEPT,
    QUARANTINED,
    REFUSED,
    RELABELLED,
    TRAIN,
    Fate,
    read_fates,
    write_fates,
)
from pipeline.data.holdout import read_holdout
from pipeline.data.label_reviews import COLUMNS
from pipeline.runtime.stage import ORDER
from pipeline.runtime.tables import read_table, sha256_text, write_table
from pipeline.runtime.track import TRACKS
from pipeline.stages.lineage import join_fates

TABLES = {"${models.validate.table}": "data/prompts.csv", "${models.split.holdout}": "data/holdout.txt"}
"""What params.yaml says in place of these words of dvc.yaml."""
DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


class Reads:
    """Files under a folder that are opened for reading while it listens (an audit hook cannot be taken out)."""

    def __init__(self, root: Path) -> None:
        self.root, self.listening, self.seen = root, False, set[str]()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.listening or event != "open" or not isinstance(arguments[0], str):
            return
        path = Path(os.path.abspath(arguments[0]))  # noqa: PTH100 (resolving opens nothing, and neither does this)
        if path.is_relative_to(self.root) and path.is_file() and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self.seen.add(path.relative_to(self.root).as_posix())

    @contextmanager
    def of(self) -> Iterator[set[str]]:
        self.seen, self.listening = set(), True
        yield self.seen
        self.listening = False


class Night:
    """A project after its stages ran, and what was done to its rows beforehand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reads: dict[str, set[str]] = {}
        holdout = read_holdout(ROOT / "data/holdout.txt")
        rows = read_table(ROOT / "data/prompts.csv").drop(columns="line")
        train = rows.index[~rows["prompt_id"].isin(holdout) & (rows["agents"] == "coding")]
        self.unknown, self.wrong, self.dropped, self.vouched = rows.loc[train[:4], "prompt_id"]
        self.twin = str(rows.loc[train[4], "prompt_id"])
        self.rows = pd.concat([rows, rows.loc[[train[4]]]], ignore_index=True)
        self.rows.loc[train[0], "agents"] = "coding|juggling"
        self.texts = dict(zip(rows["prompt_id"], rows["prompt"], strict=True))

    def prepare(self, encoder: Path) -> None:
        shutil.copytree(ROOT / "data/expectations", self.root / "data/expectations")
        for name in ("champion", "champion-models", "data/candidates"):
            shutil.copytree(ROOT / name, self.root / name)
        for name in ("agents.yaml", "holdout.txt"):
            shutil.copy(ROOT / "data" / name, self.root / "data")
        write_table(self.rows, self.root / "data/prompts.csv")
        decided = [(self.wrong, "relabel", "coding|sql"), (self.dropped, "drop", ""), (self.vouched, "keep", "")]
        reviews = [
            (i, sha256_text(self.texts[i]), word, agents, "ana", "2026-11-22", "") for i, word, agents in decided
        ]
        write_table(pd.DataFrame(reviews, columns=list(COLUMNS)), self.root / "data/label_reviews.csv")
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for section in ("validate", "label_noise", "augment", "evaluate"):
            params[section]["encoder"] = str(encoder)
        params["validate"]["near_duplicate_cosine"] = 1.0
        params["label_noise"] |= {"action": "quarantine", "quarantine_below": 1.0}
        params["train"] |= {"router": "tfidf", "folds": 2}
        for section in ("train", "evaluate"):
            params["models"][section]["encoder"] = str(encoder)
        params["models"]["validate"]["max_quarantined_share"] = 1.0
        params["evaluate"]["resamples"] = params["gate"]["resamples"] = 100
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Night:
    """All stages as dvc.yaml runs them, in this process, on the quickest router and a random encoder."""
    night = Night(tmp_path_factory.mktemp("night"))
    night.prepare(tiny_encoder)
    reads = Reads(night.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(night.root)
        for name, stage in DVC.items():
            module, *arguments = stage["cmd"].removeprefix("python -m ").split()
            patch.setattr(sys, "argv", [module, *arguments])
            patch.delitem(sys.modules, module, raising=False)
            with reads.of() as night.reads[name]:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
    return night


@pytest.fixture(scope="module")
def lineage(night: Night) -> pd.DataFrame:
    return pd.read_parquet(night.root / "var/stages/lineage/lineage.parquet")


def one(lineage: pd.DataFrame, prompt_id: str, fate: str) -> pd.Series:
    found = lineage[(lineage["prompt_id"] == prompt_id) & (lineage["fate"] == fate)]
    assert len(found) == 1
    return found.iloc[0]


def test_each_line_of_the_dataset_has_exactly_one_fate(night: Night, lineage: pd.DataFrame) -> None:
    written = read_table(night.root / "data/prompts.csv")
    joined = lineage[lineage["line"] > 0].sort_values("line")
    assert joined["line"].tolist() == written["line"].tolist()
    assert joined["prompt_id"].tolist() == written["prompt_id"].tolist()
    assert joined["text_sha256"].tolist() == [sha256_text(text) for text in written["prompt"]]
    assert set(lineage.loc[lineage["line"] == 0, "fate"]) == {AUGMENTED, REFUSED}


def test_each_stage_gives_each_of_its_rows_one_fate(night: Night) -> None:
    stages = night.root / "var/stages"
    given = {
        "validate": [read_table(night.root / "data/prompts.csv")],
        "split": [read_table(stages / "validate/prompts.parquet")],
        "label_noise": [read_table(stages / "split" / f"{part}.parquet") for part in ("train", "holdout")],
        "train": [read_table(stages / "augment/train.parquet")],
        "suspects": [read_table(stages / "label_noise/train.parquet")],
        "evaluate": [read_table(stages / "label_noise/holdout.parquet")],
    }
    for stage, tables in given.items():
        fates = read_fates(stage, stages / "fates")
        assert sorted(fates["prompt_id"]) == sorted(pd.concat(tables)["prompt_id"]), stage
        assert set(fates["stage"]) == {stage}


def test_a_row_that_validation_put_aside_is_in_no_split_and_taught_nothing(night: Night, lineage: pd.DataFrame) -> None:
    row = one(lineage, night.unknown, QUARANTINED)
    assert (row["stage"], row["split"], row["taught"]) == ("validate", "", False)
    assert "agent_known" in row["reason"]


def test_a_row_and_its_copy_have_each_their_own_fate(night: Night, lineage: pd.DataFrame) -> None:
    both = lineage[lineage["prompt_id"] == night.twin].sort_values("line")
    assert both["fate"].tolist()[1] == QUARANTINED
    assert both["fate"].tolist()[0] in (KEPT, FLAGGED)
    assert both["taught"].tolist() == [True, False]
    assert both["split"].tolist() == [TRAIN, ""]


def test_what_people_decided_is_visible(night: Night, lineage: pd.DataFrame) -> None:
    relabelled, dropped = one(lineage, night.wrong, RELABELLED), one(lineage, night.dropped, EXCLUDED)
    assert (relabelled["agents"], relabelled["reason"], relabelled["taught"]) == ("coding|sql", "ana: was coding", True)
    assert (dropped["stage"], dropped["reason"], dropped["taught"]) == ("label_noise", "ana: dropped", False)
    assert one(lineage, night.vouched, KEPT)["taught"]


def test_a_suspect_put_aside_says_why_and_taught_nothing(lineage: pd.DataFrame) -> None:
    aside = lineage[(lineage["fate"] == QUARANTINED) & (lineage["stage"] == "label_noise")]
    assert len(aside) > 0
    assert aside["reason"].str.match(r"suspect \d+: doubted \[.*\], missing \[.*\]").all()
    assert not aside["taught"].any()
    assert set(aside["split"]) == {TRAIN}


def test_a_new_row_names_its_parents_and_teaches_and_a_refused_one_does_not(lineage: pd.DataFrame) -> None:
    new, refused = (lineage[lineage["fate"] == fate] for fate in (AUGMENTED, REFUSED))
    teachers = set(lineage.loc[lineage["taught"] & (lineage["line"] > 0), "prompt_id"])
    assert len(new) > 0
    assert len(refused) > 0
    assert {parent for parents in new["parents"] for parent in parents.split("|")} <= teachers
    assert set(new["method"]) <= {"compose", "surface"}
    assert new["taught"].all()
    assert not refused["taught"].any()
    assert refused["reason"].all()


def test_taught_means_in_the_table_that_the_router_learnt_from(night: Night, lineage: pd.DataFrame) -> None:
    learnt = pd.read_parquet(night.root / "var/stages/augment/train.parquet")
    keys = sorted(zip(learnt["prompt_id"], map(sha256_text, learnt["prompt"]), strict=True))
    taught = lineage[lineage["taught"]]
    assert sorted(zip(taught["prompt_id"], taught["text_sha256"], strict=True)) == keys


def test_no_holdout_row_was_taught(night: Night, lineage: pd.DataFrame) -> None:
    held_out = lineage[lineage["split"] == HOLDOUT]
    assert set(held_out["prompt_id"]) == set(read_holdout(ROOT / "data/holdout.txt"))
    assert not held_out["taught"].any()


def test_every_file_that_a_stage_writes_is_listed_in_dvc_yaml(night: Night) -> None:
    listed = [Path(out) for stage in DVC.values() for out in stage["outs"] + stage["metrics"]]
    folders = [night.root / track.stages for track in TRACKS.values()]
    written = [path.relative_to(night.root) for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert [path for path in written if not any(path.is_relative_to(out) for out in listed)] == []
    assert [out for out in listed if not (night.root / out).exists()] == []


@pytest.mark.parametrize("name", DVC)
def test_a_stage_reads_no_file_that_dvc_yaml_does_not_name(name: str, night: Night) -> None:
    own = ["params.yaml", "var/gx", "var/reports", *DVC[name]["outs"], *DVC[name]["metrics"]]
    named = [*(TABLES.get(dep, dep) for dep in DVC[name]["deps"]), *own]
    assert night.reads[name]
    assert [read for read in night.reads[name] if not any(Path(read).is_relative_to(path) for path in named)] == []


# --- The join by itself.


def test_the_last_word_that_was_not_kept_is_the_fate(tmp_path: Path) -> None:
    stories = {
        "validate": Fate("p1", "x", KEPT, agents="sql", line=4),
        "split": Fate("p1", "x", KEPT, split=TRAIN, agents="sql"),
        "label_noise": Fate("p1", "x", RELABELLED, reason="ana", split=TRAIN, agents="email"),
        "augment": None,
        "train": Fate("p1", "x", KEPT, split=TRAIN, agents="email"),
        "join": None,
        "evaluate": None,
    }
    assert [stage for stage in ORDER if stage in stories] == list(stories)
    for stage, fate in stories.items():
        write_fates(stage, [fate] if fate else [], tmp_path)
    row = join_fates({stage: read_fates(stage, tmp_path) for stage in stories}).iloc[0].to_dict()
    expected = {"fate": RELABELLED, "stage": "label_noise", "reason": "ana", "split": TRAIN, "agents": "email"}
    assert {key: row[key] for key in expected} == expected
    assert (row["line"], row["taught"]) == (4, True)


def test_one_id_with_two_texts_is_two_rows(tmp_path: Path) -> None:
    write_fates("validate", [Fate("p1", text, KEPT) for text in ("x", "y")], tmp_path)
    write_fates("split", [], tmp_path)
    joined = join_fates({stage: read_fates(stage, tmp_path) for stage in ("validate", "split")})
    assert joined["text_sha256"].tolist() == ["x", "y"]
    assert not joined["taught"].any()
