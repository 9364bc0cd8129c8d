"""The report of one evaluation: what stands beside the router, where it was chosen, and what was never tried."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.outcome_facts import OutcomeReport
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.evaluation.reference_strategies import EVALUATED, TRAIN, baseline_rows
from pipeline.evaluation.scoring import read_predictions, read_train
from pipeline.evaluation.slices import prompt_slices, script
from pipeline.metrics.bootstrap import Estimate
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.fitting import crossvalidate
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.plain import plain
from pipeline.runtime.tables import write_table

NAN = np.nan
NAMES = ("big", "mid", "small")
QUALITY = [[1.0, 0.5, 0.0], [0.2, 0.9, 0.9], [0.6, 0.6, 0.6], [0.8, 0.1, 0.3]]
COST = [[8.0, 4.0, 1.0], [8.0, 4.0, 1.0], [8.0, 4.0, 1.0], [8.0, 4.0, 1.0]]


def outcomes(quality: Any = QUALITY, cost: Any = COST, datasets: Any = ("a", "b", "b", "a")) -> Outcomes:
    values = np.array(quality, dtype=np.float32)
    rows = range(len(values))
    return Outcomes(
        tuple(f"p{i}" for i in rows), tuple("x" * (i + 1) for i in rows), NAMES, values,
        np.array(cost, dtype=np.float32), False, datasets=datasets,
    )  # fmt: skip


def predictions(expected: Any, cost: Any = NAN, picks: Any = None) -> Predictions:
    quality = np.array(expected, dtype=np.float32)
    best = quality.argmax(axis=1) if picks is None else np.array(picks)
    chosen = np.arange(quality.shape[1])[None, :] == best[:, None]
    return Predictions(NAMES, quality, np.broadcast_to(np.float32(cost), quality.shape), chosen)


def value(report: OutcomeReport, strategy: str, what: str = "quality") -> float:
    found = getattr(report.metrics[strategy], what)
    assert isinstance(found, Estimate)
    return found.value


def test_every_baseline_by_hand() -> None:
    report = outcome_report(predictions(QUALITY, picks=[0, 2, 1, 0]), outcomes())
    expected = {
        "router": (0.825, 5.25), "random": (0.541667, 13 / 3), "cheapest": (0.45, 1.0), "dearest": (0.65, 8.0),
        "best_single": (0.65, 8.0), "best_per_dataset": (0.825, 4.5), "oracle": (0.825, 4.5),
    }  # fmt: skip
    assert set(report.metrics) == set(expected)
    for name, (quality, cost) in expected.items():
        assert value(report, name) == pytest.approx(quality, abs=1e-6), name
        assert value(report, name, "cost_usd") == pytest.approx(cost, abs=1e-5), name
    assert report.best_single == "big"
    assert report.chosen_in == EVALUATED
    assert value(report, "router", "minus_best_single") == pytest.approx(0.175)
    assert value(report, "router", "gap_closed") == pytest.approx(1.0)
    assert value(report, "router", "quality_over_datasets") == pytest.approx(0.825)
    assert value(report, "best_single", "quality_over_datasets") == pytest.approx((0.9 + 0.4) / 2)
    assert value(report, "router", "accept_rate") == 1.0
    assert value(report, "cheapest", "accept_rate") == 0.5
    assert not report.metrics["random"].accept_rate.is_known, "a mean of answers is no answer"
    assert "random" not in report.accept.against
    assert value(report, "router", "mean_rank") == pytest.approx((1 + 1.5 + 2 + 1) / 4)
    found = report.accept.against["router"]
    assert (found.wins, found.ties, found.losses) == (1, 3, 0)
    assert found.relative_cost == pytest.approx(value(report, "router", "cost_usd") / 8)
    single = report.accept.against["best_single"]
    assert (single.ties, single.relative_cost) == (4, 1.0)
    json.dumps(plain(report), allow_nan=False)


def test_what_was_never_tried_is_counted_and_left_out_of_every_mean() -> None:
    gapped = [[1.0, 0.5, NAN], [NAN, 0.9, 0.7], [NAN, 0.6, 0.6], [0.2, NAN, 0.4]]
    cost = np.where(np.isnan(gapped), NAN, COST)
    report = outcome_report(predictions(np.nan_to_num(QUALITY), picks=[2, 1, 1, 1]), outcomes(gapped, cost))
    assert report.untried_choices == 2
    assert (report.metrics["router"].prompts, report.metrics["router"].untried) == (2, 2)
    assert value(report, "router") == pytest.approx(0.75)
    assert value(report, "router", "cost_usd") == pytest.approx(4.0)
    assert value(report, "random") == pytest.approx((0.75 + 0.8 + 0.6 + 0.3) / 4)
    assert value(report, "random", "cost_usd") == pytest.approx((6 + 2.5 + 2.5 + 4.5) / 4)
    assert value(report, "oracle") == pytest.approx((1 + 0.9 + 0.6 + 0.4) / 4)
    assert report.tried_cells == pytest.approx(8 / 12, abs=1e-6)
    json.dumps(plain(report), allow_nan=False)


def test_a_candidate_tried_once_by_luck_is_not_the_best_single_one() -> None:
    quality = np.full((40, 3), NAN)
    quality[:, 0], quality[:, 2], quality[0, 1] = 0.7, 0.3, 1.0
    table = outcomes(quality, np.full((40, 3), NAN), None)
    assert baseline_rows(table, [(table, np.arange(40))], EVALUATED)["best_single"].choice(NAMES) == "big"


def test_a_router_that_only_chose_untried_cells_has_no_figure_and_not_zero() -> None:
    gapped = [[NAN, 0.5, 0.1], [NAN, 0.5, 0.1]]
    report = outcome_report(predictions(gapped, picks=[0, 0]), outcomes(gapped, np.full((2, 3), NAN), None))
    assert not report.metrics["router"].quality.is_known
    told = plain(report)["metrics"]["router"]
    assert told["quality"] == {"value": None, "low": None, "high": None}
    json.dumps(plain(report), allow_nan=False)


def test_baselines_are_chosen_in_train_where_there_is_one() -> None:
    train = outcomes([[0.1, 0.9, 0.2]] * 2 + [[0.3, 0.1, 0.9]] * 2, [[1.0, 2.0, 3.0]] * 4, ("a", "a", "b", "c"))
    judged = outcomes()
    flattered = outcome_report(predictions(QUALITY), judged)
    honest = outcome_report(predictions(QUALITY), judged, parts=[(train, np.arange(4))])
    assert (flattered.best_single, honest.best_single) == ("big", "small")
    assert (flattered.chosen_in, honest.chosen_in) == (EVALUATED, TRAIN)
    metrics = honest.metrics
    assert {metrics[name].chosen_in for name in ("best_single", "best_per_dataset", "cheapest")} == {TRAIN}
    assert metrics["oracle"].chosen_in == EVALUATED
    assert (metrics["cheapest"].most_chosen, metrics["dearest"].most_chosen) == ("big", "small")
    assert value(honest, "best_single") == pytest.approx(0.45)
    assert value(honest, "best_per_dataset") == pytest.approx((0.5 + 0.9 + 0.6 + 0.1) / 4)


def test_choices_follow_the_fold_and_a_data_set_new_to_a_fold_gets_the_best_over_all() -> None:
    table = outcomes(datasets=("a", "b", "b", "c"))
    parts = [(table.rows(np.array([0, 1])), np.array([2, 3])), (table.rows(np.array([2, 3])), np.array([0, 1]))]
    rows = baseline_rows(table, parts, TRAIN)
    # On data set b two, or all three, do equally well in train: the cheapest of them is taken.
    for name, expected in (("best_single", [0, 0, 1, 1]), ("best_per_dataset", [0, 2, 2, 1])):
        picks = rows[name].picks
        assert picks is not None
        assert picks.tolist() == expected


def test_without_costs_or_data_sets_nothing_is_said_of_them() -> None:
    report = outcome_report(predictions(QUALITY), outcomes(cost=np.full((4, 3), NAN), datasets=None))
    assert set(report.metrics) == {"router", "random", "best_single", "oracle"}
    assert report.swept is None
    assert report.pair is None
    assert report.datasets == ()
    assert "quality_over_datasets" not in plain(report)["metrics"]["router"]


def test_curves_are_labelled_as_swept_and_stand_beside_the_stored_policy() -> None:
    report = outcome_report(predictions(QUALITY, cost=COST, picks=[1, 1, 1, 1]), outcomes())
    swept, pair = report.swept, report.pair
    assert swept is not None
    assert pair is not None
    assert "optimistic" in swept.label
    assert (swept.operating_point.quality, swept.operating_point.cost_usd) == (0.525, 4.0)
    assert (swept.half_of_best_single, swept.cost_from, swept.cost_to) == (4.0, 1.0, 8.0)
    knows = swept.rows["router"]
    assert knows.quality_at_half_of_best_single > swept.rows["single_candidates"].quality_at_half_of_best_single
    points = [(point.cost_usd, point.quality) for point in swept.rows["single_candidates"].frontier]
    assert points == [(1.0, 0.45), (8.0, 0.65)], "mid lies below a mixture of the other two"
    assert pair.strong == "big"
    assert pair.weak == "small"
    assert pair.rows["router"].apgr > 0.5


def test_a_router_without_costs_of_its_own_is_swept_by_the_mean_costs_of_train() -> None:
    known, unknown = (outcome_report(predictions(QUALITY, cost=cost), outcomes()) for cost in ([8.0, 4.0, 1.0], NAN))
    assert known.swept is not None
    assert unknown.swept is not None
    assert known.swept.rows["router"] == unknown.swept.rows["router"]


def test_learnt_baselines_stand_beside_the_router_under_their_names() -> None:
    worse = predictions(QUALITY, picks=[2, 0, 0, 1])
    report = outcome_report(predictions(QUALITY), outcomes(), {"knn": worse})
    assert list(report.metrics)[-2:] == ["knn", "oracle"]
    assert value(report, "knn") == pytest.approx((0 + 0.2 + 0.6 + 0.1) / 4)
    assert value(report, "knn", "router_minus_this") == pytest.approx(0.825 - 0.225)
    assert report.swept is not None
    assert "knn" in report.swept.rows
    assert "knn" in report.accept.area


def test_slices_tell_data_sets_lengths_ties_and_scripts_apart() -> None:
    table = replace(
        outcomes(), prompts=("short", "这是一个中文问题", "a long prompt in English", "another long prompt, longer")
    )
    report = outcome_report(predictions(QUALITY, picks=[0, 0, 0, 0]), table)
    assert [(row.name, row.prompts) for row in report.datasets] == [("a", 2), ("b", 2)]
    found = {(row.kind, row.name): row for row in report.slices}
    assert set(found) == {
        ("length", "short (to 16 characters)"), ("length", "long"),
        ("agreement", "tied (all alike)"), ("agreement", "decided"),
        ("script", "cjk"), ("script", "latin"),
    }  # fmt: skip
    assert found["agreement", "tied (all alike)"].prompts == 1
    assert found["script", "cjk"].quality["router"] == pytest.approx(0.2)
    assert found["script", "cjk"].router_minus_best_single.value == 0.0


def test_data_sets_count_alike_and_each_has_its_own_difference() -> None:
    report = outcome_report(predictions(QUALITY, picks=[2, 2, 0, 0]), outcomes(datasets=("a", "b", "b", "b")))
    router, single = np.array([0.0, 0.9, 0.6, 0.8]), np.array([1.0, 0.2, 0.6, 0.8])
    assert value(report, "router", "quality_over_datasets") == pytest.approx((0.0 + router[1:].mean()) / 2, abs=1e-6)
    differences = [row.router_minus_best_single.value for row in report.datasets]
    assert differences == pytest.approx([-1.0, (router - single)[1:].mean()], abs=1e-6)
    assert [row.quality["router"] for row in report.datasets] == pytest.approx([0.0, router[1:].mean()], abs=1e-6)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Hello, 世界!", "latin"), ("请回答 A B", "cjk"), ("привет", "cyrillic"), ("42 + 1 = ?", "none"), ("", "none")],
)
def test_the_script_is_that_of_most_letters(text: str, name: str) -> None:
    assert script(text) == name


def test_a_kind_of_one_slice_is_left_out() -> None:
    table = replace(outcomes([[1.0, 0.0, 0.0]] * 4), prompts=("same",) * 4)
    assert prompt_slices(table) == []


def test_the_column_dataset_is_read_kept_by_rows_and_never_seen_by_a_router(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [
        (f"p{i}", f"{'sum' if i % 2 else 'poem'} {i}", "maths" if i % 2 else "verse", name, random.random())
        for i in range(24)
        for name in NAMES
    ]
    frame = pd.DataFrame(rows, columns=["prompt_id", "prompt", "dataset", "candidate", "quality"])
    write_table(frame, tmp_path / "t.csv")
    table = read_outcomes(tmp_path / "t.csv")
    assert table.datasets is not None
    assert table.datasets[:3] == ("verse", "maths", "verse")
    assert table.rows(np.array([3, 0])).datasets == ("maths", "verse")
    write_table(frame.drop(columns="dataset"), tmp_path / "bare.csv")
    bare = read_outcomes(tmp_path / "bare.csv")
    assert bare.datasets is None
    folds = (np.arange(24) % 3).astype(np.int64)
    seen, unseen = (crossvalidate("tfidf", each, folds, FinetuningParams(), 7) for each in (table, bare))
    np.testing.assert_array_equal(seen.quality, unseen.quality)


# --- tables -----------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, table: Outcomes) -> Path:
    rows = [
        (table.prompt_ids[i], f"{name} {table.prompts[i]}", NAMES[c], table.quality[i, c], table.cost[i, c])
        for i in range(len(table))
        for c in range(3)
    ]
    path = folder / f"{name}.csv"
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]), path)
    return path


def test_train_gives_the_baselines_of_an_evaluation_from_files(tmp_path: Path) -> None:
    truth = write(tmp_path, "truth", outcomes())
    train = write(tmp_path, "train", outcomes([[0.1, 0.2, 0.9]] * 4))
    write_table(predictions(QUALITY, cost=COST).table([f"p{i}" for i in range(4)]), tmp_path / "p.csv")
    found, evaluated = read_predictions(tmp_path / "p.csv", truth)
    np.testing.assert_array_equal(found.cost, np.array(COST, dtype=np.float32))
    assert outcome_report(found, evaluated).chosen_in == EVALUATED
    report = outcome_report(found, evaluated, parts=read_train(train, evaluated))
    assert (report.chosen_in, report.best_single) == (TRAIN, "small")


def test_prompts_that_are_evaluated_are_left_out_of_train(tmp_path: Path) -> None:
    truth = write(tmp_path, "truth", outcomes())
    judged = read_outcomes(truth)
    with pytest.raises(InputError, match=r"every prompt of .*truth\.csv is evaluated too"):
        read_train(truth, judged)
    frame = pd.read_csv(write(tmp_path, "train", outcomes()))
    frame.loc[frame["prompt_id"] == "p0", "prompt"] = "truth x"
    write_table(frame, tmp_path / "mixed.csv")
    ((part, rows),) = read_train(tmp_path / "mixed.csv", judged)
    assert (part.prompt_ids, rows.tolist()) == (("p1", "p2", "p3"), [0, 1, 2, 3])
    write_table(pd.DataFrame({"prompt_id": ["q"], "prompt": ["y"], "agents": ["big"]}), tmp_path / "labels.csv")
    with pytest.raises(TableError, match="not of the shape"):
        read_train(tmp_path / "labels.csv", judged)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("cost", "much", "line 2: cost is not a number"),
        ("cost", -1, "line 2: cost is below 0"),
        ("chosen", 0, "chooses no"),
    ],
)
def test_bad_predictions_of_outcomes_are_refused(column: str, cell: Any, message: str, tmp_path: Path) -> None:
    truth = write(tmp_path, "truth", outcomes())
    frame = predictions(QUALITY).table([f"p{i}" for i in range(4)]).astype({"cost": object})
    frame.loc[0, column] = cell
    write_table(frame, tmp_path / "p.csv")
    with pytest.raises(TableError, match=message):
        read_predictions(tmp_path / "p.csv", truth)
