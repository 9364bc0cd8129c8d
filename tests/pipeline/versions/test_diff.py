"""Differences of rows, params and metrics, against those that the test planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_versions import AGENTS, answer, row

from pipeline.data.outcomes import label_matrix
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.multilabel import micro_f1
from pipeline.runtime.tables import sha256_text
from pipeline.versions.diff import Change, OutcomeDiff, diff_files, diff_outcomes, diff_rows, diff_values
from pipeline.versions.prediction_diff import Flip, HoldoutDiff, diff_holdouts
from pipeline.versions.provenance import CODE, DATA, Material

OLDER = (
    row("p1", "coding"),
    row("p2", "coding|email"),
    row("p3", "sql"),
    row("p4", "email", text="first wording"),
    row("p5", "sql", split="holdout"),
    row("p6", "coding"),
    row("a1", "sql", "augmented", text="old made"),
)
NEWER = (
    row("p1", "coding", "quarantined", split="", reason="too short"),
    row("p2", "email|coding", "flagged", reason="suspect 1"),
    row("p3", "email", "relabelled", reason="ana: was sql"),
    row("p4", "coding", text="second wording"),
    row("p5", "sql", split="train"),
    row("p7", "sql"),
    row("a1", "sql", "augmented", text="new made"),
    row("a2", "sql", "augmented", text="new made too"),
)


def table(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def test_rows_that_came_went_and_were_reworded_are_told_apart() -> None:
    found = diff_rows(table(*OLDER), table(*NEWER))
    assert [r.prompt_id for r in found.added] == ["p7"]
    assert [r.prompt_id for r in found.removed] == ["p6"]
    assert [(c.prompt_id, c.before, c.after) for c in found.reworded] == [
        ("p4", sha256_text("first wording"), sha256_text("second wording"))
    ]


def test_a_relabelled_row_has_both_labels_and_who_did_it() -> None:
    found = diff_rows(table(*OLDER), table(*NEWER))
    assert [(c.prompt_id, c.before, c.after, c.why) for c in found.relabelled] == [
        ("p3", "sql", "email", "ana: was sql"),
        ("p4", "email", "coding", ""),
    ]


def test_outcomes_that_came_went_or_changed_are_counted() -> None:
    columns = ["prompt_id", "candidate", "quality", "cost"]
    older = pd.DataFrame(
        [("p1", "a", 1.0, 0.1), ("p1", "b", 0.5, None), ("p2", "a", 0.0, None), ("p3", "a", 0.0, 0.2)], columns=columns
    )
    newer = pd.DataFrame(
        [("p3", "b", 0.0, 0.2), ("p2", "a", 0.0, 0.3), ("p1", "b", 0.5, None), ("p1", "a", 0.9, 0.1)], columns=columns
    )
    assert diff_outcomes(older, newer) == OutcomeDiff(added=1, removed=1, changed=2)
    assert diff_outcomes(newer, newer) == OutcomeDiff(0, 0, 0)


def test_the_order_in_which_agents_are_written_is_no_difference() -> None:
    assert "p2" not in {c.prompt_id for c in diff_rows(table(*OLDER), table(*NEWER)).relabelled}


def test_fates_and_splits_that_changed_are_named() -> None:
    found = diff_rows(table(*OLDER), table(*NEWER))
    assert {c.prompt_id: (c.before, c.after, c.why) for c in found.fates} == {
        "p1": ("kept", "quarantined", "too short"),
        "p2": ("kept", "flagged", "suspect 1"),
        "p3": ("kept", "relabelled", "ana: was sql"),
    }
    assert found.transitions == {"kept -> flagged": 1, "kept -> quarantined": 1, "kept -> relabelled": 1}
    assert {c.prompt_id: (c.before, c.after) for c in found.moved} == {"p1": ("train", ""), "p5": ("holdout", "train")}


def test_augmented_rows_are_counted_by_text_and_never_listed() -> None:
    found = diff_rows(table(*OLDER), table(*NEWER))
    assert (found.augmented_added, found.augmented_removed) == (2, 1)
    assert not [r for r in (*found.added, *found.removed) if r.prompt_id.startswith("a")]


def test_a_second_copy_of_a_row_is_an_added_row() -> None:
    copy = row("p1", "coding", "quarantined", split="", line=9)
    assert [r.fate for r in diff_rows(table(row("p1", "coding")), table(copy, row("p1", "coding"))).added] == [
        "quarantined"
    ]


def test_the_same_version_differs_in_nothing() -> None:
    found = diff_rows(table(*OLDER), table(*OLDER))
    assert not any((found.added, found.removed, found.reworded, found.relabelled, found.fates, found.moved))
    assert (found.augmented_added, found.augmented_removed) == (0, 0)


def test_params_differ_under_dotted_names() -> None:
    before = {"run": {"seed": 7}, "train": {"epochs": 5, "old": 1}}
    after = {"run": {"seed": 7}, "train": {"epochs": 6, "new": [1]}}
    assert diff_values(before, after) == (
        Change("train.epochs", 5, 6),
        Change("train.new", None, [1]),
        Change("train.old", 1, None),
    )


def test_files_of_the_code_are_left_to_git() -> None:
    before = [Material("data/a", {"sha256": "1"}, DATA), Material("dvc.yaml", {"sha256": "1"}, CODE)]
    after = [Material("data/a", {"sha256": "2"}, DATA), Material("dvc.yaml", {"sha256": "2"}, CODE)]
    assert diff_files(before, after) == (Change("data/a", "1", "2"),)


def planted(count: int = 60) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """The older version misses every fourth prompt, the newer every tenth; and the difference of their micro-F1."""
    old, new, truth = [], [], []
    for i in range(count):
        right, wrong = AGENTS[i % 3], AGENTS[(i + 1) % 3]
        truth.append((right,))
        old.append(answer(f"p{i}", right, wrong if i % 4 == 0 else right))
        new.append(answer(f"p{i}", right, wrong if i % 10 == 0 else right))
    labels = label_matrix(truth, AGENTS) > 0.5
    chosen = [label_matrix([(str(line["chosen"]),) for line in lines], AGENTS) > 0.5 for lines in (old, new)]
    return table(*old), table(*new), micro_f1(labels, chosen[1]) - micro_f1(labels, chosen[0])


@pytest.fixture(scope="module")
def compared() -> tuple[HoldoutDiff, float]:
    older, newer, difference = planted()
    return diff_holdouts(older, newer, 400, 7), difference


def test_paired_intervals_hold_the_planted_difference(compared: tuple[HoldoutDiff, float]) -> None:
    found, difference = compared
    metrics = {metric.metric: metric for metric in found.metrics}
    assert list(metrics) == ["micro_f1", "macro_f1", "hamming_loss", "subset_accuracy"]
    micro = metrics["micro_f1"]
    assert micro.difference.value == pytest.approx(difference, abs=1e-6)
    assert micro.difference.low < difference < micro.difference.high
    assert micro.difference.low > 0, "the newer one is better, and a paired interval shows it"
    assert metrics["hamming_loss"].difference.value == pytest.approx(
        -metrics["subset_accuracy"].difference.value * 2 / 3
    )


def test_pairing_is_tighter_than_two_separate_draws(compared: tuple[HoldoutDiff, float]) -> None:
    older, newer, _ = planted()
    rng = np.random.default_rng(1)
    hits = [(frame["agents"] == frame["chosen"]).to_numpy() for frame in (older, newer)]
    apart = [hits[1][rng.integers(0, 60, 60)].mean() - hits[0][rng.integers(0, 60, 60)].mean() for _ in range(400)]
    accuracy = next(m for m in compared[0].metrics if m.metric == "subset_accuracy")
    assert accuracy.difference.high - accuracy.difference.low < np.quantile(apart, 0.975) - np.quantile(apart, 0.025)


def test_two_equal_versions_differ_by_nothing_at_all() -> None:
    older, _, _ = planted()
    found = diff_holdouts(older, older, 100, 7)
    assert {m.difference for m in found.metrics} == {Estimate(0.0, 0.0, 0.0)}
    assert found.flips == ()


def test_hamming_loss_counts_agents_that_nobody_asked_for() -> None:
    """With three agents one wrong cell is a third, though only one agent occurs."""
    found = diff_holdouts(table(answer("p1", "sql", "sql")), table(answer("p1", "sql", "")), 100, 7)
    assert next(m for m in found.metrics if m.metric == "hamming_loss").after == pytest.approx(1 / 3, abs=1e-5)


def test_flips_name_the_prompt_the_truth_and_both_choices() -> None:
    older = table(answer("p1", "sql", "coding"), answer("p2", "sql", "sql"), answer("p3", "sql|email", "email|sql"))
    newer = table(answer("p1", "sql", "sql"), answer("p2", "sql", "email|sql"), answer("p3", "sql|email", "sql|email"))
    found = diff_holdouts(older, newer, 100, 7).flips
    assert [(f.prompt_id, f.truth, f.before, f.after) for f in found] == [
        ("p1", ("sql",), ("coding",), ("sql",)),
        ("p2", ("sql",), ("sql",), ("email", "sql")),
    ]
    assert [(f.dropped, f.gained, f.outcome) for f in found] == [
        (("coding",), ("sql",), "now right"),
        ((), ("email",), "now wrong"),
    ]
    whole = diff_holdouts(older, newer, 100, 7)
    assert (whole.better, whole.worse) == (1, 1)


def test_graded_outcomes_are_compared_by_quality_and_cost_not_by_labels() -> None:
    """Two are best on p1: to go from one to the other is neither better nor worse."""
    truths, before, after = ("sql|email", "sql", "coding"), ("sql", "coding", "coding"), ("email", "sql", "email")
    older, newer = (
        table(*(answer(f"p{i}", truth, chosen) for i, (truth, chosen) in enumerate(zip(truths, choice, strict=True))))
        for choice in (before, after)
    )
    cells = [
        {"prompt_id": f"p{i}", "candidate": name, "quality": float(name in truth.split("|")), "cost": cost}
        for i, truth in enumerate(truths) for name, cost in zip(AGENTS, (1.0, 2.0, 4.0), strict=True)
    ]  # fmt: skip
    found = diff_holdouts(older, newer, 100, 7, pd.DataFrame(cells))
    assert [flip.outcome for flip in found.flips] == ["as good", "better", "worse"]
    assert (found.better, found.worse) == (1, 1)
    told = {metric.metric: (metric.before, metric.after) for metric in found.metrics}
    assert told == {"quality": (pytest.approx(2 / 3, abs=1e-6),) * 2, "cost_usd": (2.0, pytest.approx(8 / 3, abs=1e-6))}
    cells[2]["quality"] = cells[2]["cost"] = None
    cells[3]["cost"] = cells[6]["cost"] = 0.0000004
    found = diff_holdouts(older, newer, 100, 7, pd.DataFrame(cells))
    told = {metric.metric: (metric.prompts, metric.before, metric.after) for metric in found.metrics}
    assert told == {"quality": (2, 0.5, 0.5), "cost_usd": (2, 0.0000004, 3.0)}, "where both choices' outcomes are known"


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [(("b", "c"), ("b",), "better"), (("b",), ("b", "c"), "worse"), (("b",), ("c",), "as wrong")],
)
def test_a_flip_between_two_wrong_subsets(before: tuple[str, ...], after: tuple[str, ...], outcome: str) -> None:
    assert Flip("p1", "", ("a",), before, after).outcome == outcome


def test_only_prompts_that_both_answered_are_compared_by_the_newer_label() -> None:
    older = table(answer("p1", "sql", "sql"), answer("p2", "sql", "sql"))
    newer = table(answer("p1", "coding", "coding"), answer("p3", "sql", "sql"))
    found = diff_holdouts(older, newer, 100, 7)
    assert (found.common, found.only_before, found.only_after, found.relabelled) == (1, 1, 1, 1)
    assert {(m.metric, m.before, m.after) for m in found.metrics if m.metric == "subset_accuracy"} == {
        ("subset_accuracy", 0.0, 1.0)
    }


def test_without_a_common_prompt_there_is_no_metric() -> None:
    found = diff_holdouts(table(answer("p1", "sql", "sql")), table(answer("p2", "sql", "sql")), 100, 7)
    assert (found.common, found.metrics, found.flips) == (0, (), ())
