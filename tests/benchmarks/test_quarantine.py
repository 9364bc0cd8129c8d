"""The benchmark of quarantine: what each way trains on, and how its rows are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_subjects import subject_table

from benchmarks.label_noise import MIXED, SpoiltTable
from benchmarks.quality.tables import Table
from benchmarks.quarantine import ALL, WAYS, Doubted, lines, measured, planted
from pipeline.runtime.errors import InputError

ROWS = 80


@pytest.fixture(scope="module")
def doubted() -> Doubted:
    train = subject_table(ROWS, 4, True)
    near = np.random.default_rng(1).normal(0, 0.2, (ROWS, 4)).astype(np.float32)
    return Doubted(SpoiltTable.planted(train, train.quality + near, MIXED, 1))


def test_wrong_labels_are_doubted_and_right_ones_are_not(doubted: Doubted) -> None:
    assert 5 <= doubted.wrong.sum() <= ROWS // 10
    assert (doubted.rows & doubted.wrong).sum() > 2 * (doubted.rows & ~doubted.wrong).sum()
    assert not (doubted.quarantined & ~doubted.rows).any()


def test_each_way_touches_the_rows_that_it_says_and_no_others(doubted: Doubted) -> None:
    learnt = {name: way(doubted)[0] for name, way in WAYS.items()}
    given, train, rows = doubted.planted.given, doubted.planted.train, doubted.rows
    assert (learnt["all rows"].quality == given).all()
    assert len(learnt["doubted rows left out"]) == ROWS - rows.sum()
    relabelled = learnt["doubted rows relabelled"].quality
    assert (relabelled[~rows] == given[~rows]).all()
    assert (relabelled[rows] != given[rows]).any(axis=1).all()
    left = [train.prompt_ids.index(each) for each in learnt["wrong rows left out"].prompt_ids]
    assert (given[left] == train.quality[left]).all()
    assert (learnt["clean"].quality == train.quality).all()


def test_a_row_tells_what_was_touched_and_the_difference_to_the_first_way() -> None:
    table = Table("planted", ((subject_table(ROWS, 4, True), subject_table(20, 4, True)),))
    told = list(lines(table, "tfidf", measured(table, planted(table, 1), "tfidf", [ALL, "clean"])))
    assert told[2].startswith("| tfidf | all rows | 0, of them wrong 0 | ")
    assert told[2].endswith(" |  |")
    assert " to " in told[3].split("|")[-2]


def test_where_no_row_has_several_agents_none_can_be_dropped() -> None:
    train = subject_table(ROWS, 4, True)
    alone = replace(train, quality=np.eye(4, dtype=np.float32)[np.arange(ROWS) % 4])
    table = Table("planted", ((alone, alone),))
    with pytest.raises(InputError, match="0 rows have several agents"):
        planted(table, 1)
