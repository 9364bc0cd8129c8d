"""A predictions table against the truth: labels and graded outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import label_matrix, split_agents
from pipeline.evaluation import label_report
from pipeline.evaluation.outcome_facts import OutcomeReport
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.evaluation.scoring import LabelScores, label_scores, read_predictions
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.multilabel import micro_f1
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import write_table

LABELS = {"p1": "coding", "p2": "coding|sql", "p3": "email", "p4": "sql", "p5": "email|coding"}
NAMES = ("coding", "email", "sql")


def _truth(folder: Path, labels: dict[str, str] = LABELS) -> Path:
    rows = [(key, f"text of {key}", agents) for key, agents in labels.items()]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "prompt", "agents"]), folder / "truth.csv")
    return folder / "truth.csv"


def _predictions(labels: dict[str, str] = LABELS) -> pd.DataFrame:
    """A sure prediction of some labels: a row a prompt and candidate."""
    chosen = label_matrix([split_agents(cell) for cell in labels.values()], NAMES)
    rows = [
        (key, name, float(chosen[i, c]), int(chosen[i, c]))
        for i, key in enumerate(labels)
        for c, name in enumerate(NAMES)
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "candidate", "score", "chosen"])


def _score(folder: Path, predictions: pd.DataFrame, truth: Path | None = None) -> LabelScores:
    write_table(predictions, folder / "predictions.csv")
    return label_scores(*read_predictions(folder / "predictions.csv", truth or _truth(folder)))


def test_perfect_predictions_score_one(tmp_path: Path) -> None:
    report = _score(tmp_path, _predictions())
    assert (report.kind, report.prompts, report.candidates) == ("labels", 5, 3)
    for name in ("micro_f1", "macro_f1", "subset_accuracy"):
        assert report.metrics[name] == Estimate(1.0, 0.549280, 1.0), "five prompts are no proof"
    assert report.metrics["hamming_loss"].value == report.calibration_error == 0.0
    assert [row.support for row in report.per_candidate] == [3, 2, 2]


@pytest.mark.parametrize(("found", "value", "low", "high"), [(True, 1.0, 0.368403, 1.0), (False, 0.0, 0.0, 0.631597)])
def test_three_rare_labels_prove_as_much_as_three_prompts(found: bool, value: float, low: float, high: float) -> None:
    """Of 110 prompts three ask for the rare agent: the other 107 say nothing of it."""
    labels = np.arange(110)[:, None] < 3
    told = label_report._slice("rare agents", labels, labels & found, 2000)
    assert (told.value, told.low, told.high, told.prompts) == pytest.approx((value, low, high, 110), abs=1e-6)


def test_errors_count_and_the_order_of_rows_does_not(tmp_path: Path) -> None:
    wrong = LABELS | {"p1": "email", "p2": "coding"}
    report = _score(tmp_path, _predictions(wrong).sample(frac=1, random_state=1))
    truth, chosen = (label_matrix([split_agents(c) for c in table.values()], NAMES) > 0.5 for table in (LABELS, wrong))
    figure = report.metrics["micro_f1"]
    assert figure.value == pytest.approx(micro_f1(truth, chosen), abs=1e-6)
    assert figure.low < figure.value < figure.high
    assert report.metrics["subset_accuracy"].value == 0.6


def test_predictions_may_cover_more_prompts_and_candidates_than_the_truth(tmp_path: Path) -> None:
    truth = _truth(tmp_path, {"p3": "email", "p1": "coding"})
    report = _score(tmp_path, _predictions(), truth)
    assert report.prompts == 2
    assert report.metrics["micro_f1"].value == 1.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows[rows["prompt_id"] != "p2"], "no prediction for prompt_id 'p2'"),
        (lambda rows: rows.drop(index=4), "lacks a candidate for prompt_id 'p2'"),
        (lambda rows: pd.concat([rows, rows.iloc[[3]]]), r"line 17: .* stand twice"),
        (lambda rows: rows.assign(chosen=[2, *rows["chosen"][1:]]), "line 2: chosen is not 0 or 1"),
        (lambda rows: rows.assign(chosen=["yes", *rows["chosen"][1:]]), "line 2: chosen is not a number"),
        (lambda rows: rows.assign(score=[*rows["score"][:-1], ""]), "line 16: score is empty"),
        (lambda rows: rows.assign(score=[*rows["score"][:-1], "inf"]), "line 16: score is infinite"),
        (lambda rows: rows.assign(cost="-inf"), "line 2: cost is infinite"),
        (lambda rows: rows.drop(columns="chosen"), "lacks the column 'chosen'"),
        (lambda rows: rows[rows["candidate"] != "sql"], "unknown agent 'sql'"),
    ],
)  # fmt: skip
def test_a_malformed_predictions_table_is_refused(spoil: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=message) as caught:
        _score(tmp_path, spoil(_predictions()))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def graded() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Quality and cost of 3 candidates on 200 prompts: each prompt has its own best, the dear one is best overall."""
    random = np.random.default_rng(1)
    quality = np.clip(random.normal(0.5, 0.2, (200, 3)) + np.array([0.0, 0.05, 0.15]), 0, 1).round(4)
    cost = np.tile([0.001, 0.002, 0.01], (200, 1))
    rows = [(f"p{i}", f"text {i}", name, quality[i, c], cost[i, c]) for i in range(200) for c, name in enumerate(NAMES)]
    return pd.DataFrame(rows, columns=["prompt_id", "prompt", "candidate", "quality", "cost"]), quality, cost


def _choices(expected: np.ndarray) -> pd.DataFrame:
    best = expected.argmax(axis=1)
    rows = [
        (f"p{i}", name, expected[i, c], int(c == best[i])) for i in range(len(expected)) for c, name in enumerate(NAMES)
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "candidate", "score", "chosen"])


def _graded(folder: Path, truth: pd.DataFrame, expected: np.ndarray) -> OutcomeReport:
    write_table(truth, folder / "truth.parquet")
    write_table(_choices(expected), folder / "predictions.csv")
    return outcome_report(*read_predictions(folder / "predictions.csv", folder / "truth.parquet"))


def _quality(report: OutcomeReport, strategy: str) -> float:
    return report.metrics[strategy].quality.value


def test_a_router_that_knows_something_lies_between_the_best_single_candidate_and_the_oracle(
    graded: tuple[pd.DataFrame, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    truth, quality, _ = graded
    noisy = quality + np.random.default_rng(2).normal(0, 0.1, quality.shape)
    report = _graded(tmp_path, truth, noisy)
    assert report.kind == "outcomes"
    assert report.best_single == "sql"
    order = [_quality(report, strategy) for strategy in ("oracle", "router", "best_single", "random")]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4
    assert order[0] == pytest.approx(quality.max(axis=1).mean(), abs=1e-6)
    assert order[3] == pytest.approx(quality.mean(), abs=1e-6)
    for figures in report.metrics.values():
        assert figures.quality.low <= figures.quality.value <= figures.quality.high


def test_a_router_that_knows_everything_is_the_oracle_and_one_that_knows_nothing_is_random(
    graded: tuple[pd.DataFrame, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    truth, quality, _ = graded
    oracle = _graded(tmp_path, truth, quality)
    assert _quality(oracle, "router") == _quality(oracle, "oracle")
    blind = _graded(tmp_path, truth, np.random.default_rng(3).random(quality.shape))
    assert _quality(blind, "router") == pytest.approx(_quality(blind, "random"), abs=0.05)


def test_cost_is_that_of_the_candidates_chosen(
    graded: tuple[pd.DataFrame, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    truth, quality, cost = graded
    report = _graded(tmp_path, truth, quality)
    spent = cost[np.arange(200), quality.argmax(axis=1)].mean()
    assert report.metrics["router"].cost_usd.value == pytest.approx(spent, abs=1e-6)
    assert report.metrics["best_single"].cost_usd.value == pytest.approx(0.01)
    free = _graded(tmp_path, truth.drop(columns="cost"), quality)
    assert "cost_usd" not in free.metrics["router"].to_json()


def test_choices_that_were_never_tried_are_counted_and_not_scored(
    graded: tuple[pd.DataFrame, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    truth, quality, _ = graded
    untried = truth[~((truth["prompt_id"] == "p0") & (truth["candidate"] == NAMES[quality[0].argmax()]))]
    report = _graded(tmp_path, untried, quality)
    assert report.untried_choices == 1
    assert _quality(report, "router") == pytest.approx(quality[1:].max(axis=1).mean(), abs=1e-6)
