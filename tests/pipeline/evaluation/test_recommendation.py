"""One model, a mixture or a router: what a table speaks for, on tables of which the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.recommendation import parts_of, recommend
from pipeline.evaluation.recommendation_text import (
    MARGIN,
    ChoiceFigures,
    ComparedChoices,
    Difference,
    EqualDifference,
    MixtureFigures,
    QualityDifference,
    Recommendation,
    short,
    spread,
    usd,
    verdict,
)
from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import plain
from switchtender.app import app

NAMES = ("big", "mid", "small")
PRICE = np.array([10.0, 4.0, 1.0], dtype=np.float32)
ROWS = 400
FOLDS = (np.arange(ROWS) % 4).astype(np.int64)


def table(cost: Any = PRICE, seed: int = 0, level: Any = (0.8, 0.6, 0.4)) -> Outcomes:
    """Each candidate is right at its own rate, whatever the prompt."""
    quality = (np.random.default_rng(seed).random((ROWS, 3)) < np.array(level)).astype(np.float32)
    prompts = tuple(f"prompt {i}" for i in range(ROWS))
    price = np.broadcast_to(np.asarray(cost, np.float32), quality.shape)
    datasets = tuple("ab"[i % 2] for i in range(ROWS))
    return Outcomes(prompts, prompts, NAMES, quality, price, False, FOLDS, datasets=datasets)


def router(expected: Any, price: Any = PRICE) -> Predictions:
    quality = np.broadcast_to(np.asarray(expected, np.float32), (ROWS, 3))
    chosen = np.arange(3)[None, :] == quality.argmax(axis=1)[:, None]
    return Predictions(NAMES, quality, np.broadcast_to(np.asarray(price, np.float32), (ROWS, 3)), chosen)


def knowing(outcomes: Outcomes, share: float, price: Any = PRICE) -> Predictions:
    """A router that knows a share of the answers, and prefers the cheaper of what is equally good."""
    noise = np.random.default_rng(1).random(outcomes.quality.shape)
    known = np.random.default_rng(2).random((ROWS, 1)) < share
    return router(np.where(known, outcomes.quality, 0.3 * noise) + 0.01 * np.arange(3), price)


def run(outcomes: Outcomes, found: Predictions | dict[str, Predictions], budget: float | None = None) -> Recommendation:
    named = found if isinstance(found, dict) else {"knn": found}
    facts = recommend(outcomes, parts_of(outcomes, FOLDS), named, budget)
    json.dumps(plain(facts), allow_nan=False)
    return facts


def test_a_router_that_knows_the_answers_is_recommended() -> None:
    facts = run(table(), knowing(table(), 0.9))
    assert facts.verdict == "router"
    assert facts.sentence.startswith("Use knn: it beat big alone by ")
    assert facts.sentence.endswith(" of its cost.")
    assert facts.router_minus_best_single.quality.low > 0
    assert facts.mixture.router_minus_mixture_at_equal_quality_usd is None, "no mixture is that good"


def test_a_router_that_knows_nothing_is_not() -> None:
    facts = run(table(), router(np.random.default_rng(5).random((ROWS, 3))))
    assert facts.verdict == "one"
    assert facts.sentence.startswith("Use big alone: no router beat it (difference -.")
    assert facts.router_minus_best_single.quality.share_of_resamples_above_0 == 0
    equal = facts.mixture.router_minus_mixture_at_equal_cost
    assert equal.low < 0.05
    assert equal.value < 0.02


def test_always_choosing_the_best_model_is_no_gain() -> None:
    facts = run(table(), router([0.9, 0.5, 0.1]))
    assert facts.verdict == "one"
    assert spread(facts.router_minus_best_single.quality) == "0, 95 % 0 to 0"


def test_a_mixture_costs_what_the_router_costs_and_is_judged_by_its_expectation() -> None:
    outcomes = table()
    picks = np.where(np.arange(ROWS)[:, None] % 2 == 0, [0.9, 0.1, 0.2], [0.1, 0.2, 0.9])
    facts = run(outcomes, router(picks))
    mixture = facts.mixture
    assert (mixture.cheaper, mixture.dearer) in {("mid", "big"), ("small", "mid"), ("small", "big")}
    assert facts.rows["router"].cost_usd.value == 5.5
    level = outcomes.quality.mean(axis=0)
    cheap, dear = NAMES.index(mixture.cheaper), NAMES.index(mixture.dearer)
    share = (5.5 - PRICE[cheap]) / (PRICE[dear] - PRICE[cheap])
    expected = (1 - share) * level[cheap] + share * level[dear]
    got = facts.rows["router"].quality.value
    assert mixture.router_minus_mixture_at_equal_cost.value == pytest.approx(got - expected, abs=0.01)
    assert mixture.share_of_dearer == pytest.approx(share, abs=0.02)


def test_a_budget_that_no_single_good_model_fits_speaks_for_a_mixture() -> None:
    facts = run(table(level=(0.9, 0.2, 0.1)), router(np.random.default_rng(5).random((ROWS, 3))), budget=5.0)
    assert facts.verdict == "mixture"
    assert facts.best_single == "mid"
    assert facts.sentence.startswith(
        "With USD 5 a prompt use a random mixture of small (56% of prompts) and big (44%): it beat mid alone by "
    )
    assert facts.mixture.share_of_dearer == pytest.approx(4 / 9, abs=1e-4)


def test_within_a_budget_lambda_is_chosen_on_the_other_folds() -> None:
    outcomes = table()
    facts = run(outcomes, knowing(outcomes, 0.9), budget=3.0)
    assert facts.verdict == "router"
    assert facts.sentence.startswith("With USD 3 a prompt use knn: it beat small alone by ")
    assert 1.0 < facts.rows["router"].cost_usd.value < 3.2
    freely = run(outcomes, knowing(outcomes, 0.9))
    assert freely.rows["router"].cost_usd.value > 3.2
    assert facts.mixture.router_minus_mixture_at_budget.quality.low > 0


def test_a_budget_of_just_the_cheapest_model_leaves_that_one() -> None:
    facts = run(table(), knowing(table(), 0.9), budget=1.0)
    assert facts.verdict == "one"
    assert facts.sentence.startswith("With USD 1 a prompt use small alone: neither a router ")


@pytest.mark.parametrize(("budget", "best"), [(0.0005, "small"), (0.002, "mid"), (0.01, "big")])
def test_a_candidate_fits_a_budget_of_just_its_price(budget: float, best: str) -> None:
    """In float32, as costs are kept, .0005 is .00050000002 and .002 is .0020000001."""
    price = (0.01, 0.002, 0.0005)
    facts = run(table(price), router((0.8, 0.6, 0.4), price), budget)
    assert (facts.best_single, facts.verdict) == (best, "one"), "nor is a mixture of it with a share of 0 better"


@pytest.mark.parametrize(
    ("cost", "budget", "message"),
    [(PRICE, 0.5, "no candidate costs at most USD .5 a prompt; the cheapest, small, costs USD 1"),
     (np.nan, 2.0, "--budget needs costs")],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_is_refused(cost: Any, budget: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(table(cost), router([0.9, 0.5, 0.1]), budget)


def test_without_costs_nothing_is_said_of_mixtures() -> None:
    facts = run(table(np.nan), knowing(table(), 0.9, np.nan))
    assert facts.mixture is None
    assert facts.sentence.startswith("Use knn: it beat big alone by ")
    assert "cost" not in facts.sentence


def test_of_several_routers_each_fold_takes_the_one_that_was_best_elsewhere() -> None:
    outcomes = table()
    good, bad = knowing(outcomes, 0.9), router([0.1, 0.2, 0.9])
    facts = run(outcomes, {"linear": bad, "knn": good})
    assert facts.router == "knn"
    assert facts.rows["router"] == facts.rows["knn"]
    lucky = np.where((FOLDS == 0)[:, None], good.quality, bad.quality)
    luckier = np.where((FOLDS == 1)[:, None], good.quality, bad.quality)
    mixed = run(outcomes, {"a": router(lucky), "b": router(luckier)})
    figures = [mixed.rows[name].quality.value for name in ("router", "a", "b")]
    assert figures[0] < min(figures[1:]), "being good on the judged fold alone does not help"


def test_untried_choices_do_not_count_against_a_router_nor_for_it() -> None:
    outcomes = table()
    quality = outcomes.quality.copy()
    quality[::5] = np.nan
    quality[::5, 1] = 0.5
    gapped = Outcomes(
        outcomes.prompts, outcomes.prompts, NAMES, quality, np.where(np.isnan(quality), np.nan, outcomes.cost),
        False, FOLDS,
    )  # fmt: skip
    facts = run(gapped, router([0.9, 0.5, 0.1]))
    assert facts.rows["router"].untried == ROWS // 5
    assert facts.rows["router"].prompts == ROWS - ROWS // 5
    assert facts.router_minus_best_single.quality.value == 0


# --- the sentence -----------------------------------------------------------------------------------------------


def figure(low: float, value: float, high: float) -> Estimate:
    return Estimate(value, low, high)


def facts_with(quality: Estimate, cost: Estimate, equal: Estimate) -> ComparedChoices:
    spent = {"router": Estimate(0.003, 0.002, 0.004), "best_single": Estimate(0.005, 0.004, 0.006)}
    return ComparedChoices(
        prompts=9, candidates=2, folds=3, budget_usd=None, router="knn", best_single="gpt-x",
        rows={name: ChoiceFigures(quality, cost_usd, 9, 0) for name, cost_usd in spent.items()},
        router_minus_best_single=Difference(QualityDifference(quality.value, quality.low, quality.high, 1.0), cost, 9),
        mixture=MixtureFigures("small", "gpt-x", 0.5, EqualDifference(**vars(equal), prompts=9), None),
    )  # fmt: skip


SAVES, SPENDS = figure(-0.003, -0.002, -0.001), figure(-0.001, 0.0, 0.001)
AHEAD, EQUAL = figure(0.01, 0.02, 0.03), figure(-0.01, 0.0, 0.01)


@pytest.mark.parametrize(
    ("quality", "cost", "equal", "expected"),
    [
        (figure(-0.010, -0.003, 0.004), SPENDS, EQUAL,
         ("one", "Use gpt-x alone: no router beat it (difference -.003, 95 % -.010 to .004).")),
        (figure(0.001, 0.01, 0.02), SAVES, AHEAD,
         ("router", "Use knn: it beat gpt-x alone by .010, 95 % .001 to .020, at 60% of its cost.")),
        (figure(-MARGIN, 0.001, 0.007), SAVES, AHEAD,
         ("router", "Use knn: it was as good as gpt-x alone (.001, 95 % -.005 to .007), at 60% of its cost.")),
        (figure(-MARGIN, 0.001, 0.007), SAVES, EQUAL,
         ("one", "Use gpt-x alone: no router beat it (difference .001, 95 % -.005 to .007).")),
        (figure(-0.03, -0.02, -0.01), SAVES, AHEAD,
         ("one", "Use gpt-x alone: no router beat it (difference -.020, 95 % -.030 to -.010); to spend USD .003 a "
          "prompt, knn beat a mixture by .020, 95 % .010 to .030.")),
    ],
)  # fmt: skip
def test_the_sentence_follows_the_intervals(
    quality: Estimate, cost: Estimate, equal: Estimate, expected: tuple[str, str]
) -> None:
    assert verdict(facts_with(quality, cost, equal)) == expected


def test_the_sentence_names_what_was_compared() -> None:
    """Several routers, and a single candidate that folds do not agree on: the figures are of neither's name alone."""
    found = replace(facts_with(figure(0.001, 0.01, 0.02), SAVES, AHEAD), has_one_router=False, single_varies=True)
    compared = "the best router of each fold beat the best single candidate of each fold by .010, 95 % .001 to .020"
    assert verdict(found) == ("router", f"Use knn: {compared}, at 60% of its cost.")
    lost = replace(facts_with(figure(-0.010, -0.003, 0.004), SPENDS, EQUAL), single_varies=True)
    beaten = "no router beat the best single candidate of each fold (difference -.003, 95 % -.010 to .004)"
    assert verdict(lost) == ("one", f"Use gpt-x alone: {beaten}.")


def test_what_competes_and_what_folds_disagree_on_is_known() -> None:
    outcomes = table()
    facts = run(outcomes, {"linear": router([0.1, 0.2, 0.9]), "knn": knowing(outcomes, 0.9)})
    assert (facts.has_one_router, facts.single_varies, facts.single) == (False, False, "big alone")
    quality = np.zeros((ROWS, 3), dtype=np.float32)
    quality[np.arange(ROWS), FOLDS % 2] = 1.0  # each fold is best served by what the other three make look worse
    varied = run(replace(outcomes, quality=quality), {"knn": router([0.9, 0.5, 0.1])})
    assert (varied.has_one_router, varied.single_varies) == (True, True)


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    assert verdict(facts_with(UNKNOWN, UNKNOWN, UNKNOWN))[0] == "none"


def test_figures_in_words() -> None:
    assert [short(value) for value in (0.1234, -0.5, 0.0001, 1.0, -1.25)] == [".123", "-.500", "0", "1.000", "-1.250"]
    assert [usd(value) for value in (0, 0.00251, 8.137e-5, -0.000476, 12.3456)] == [
        "USD 0", "USD .00251", "USD .0000814", "USD -.000476", "USD 12.3"
    ]  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums that only `big` gets right, poems that both do."""
    folder = tmp_path_factory.mktemp("graded")
    rows = [
        (
            f"r{i}",
            f"{'sum' if i % 2 else 'poem'} number {i}",
            "ab"[i % 2],
            model,
            float(model == "big" or not i % 2),
            price,
        )
        for i in range(60)
        for model, price in (("big", 0.01), ("small", 0.001))
    ]
    columns = ["prompt_id", "prompt", "dataset", "candidate", "quality", "cost"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.to_parquet(folder / "all.parquet")
    frame[:80].to_parquet(folder / "train.parquet")
    frame[80:].to_parquet(folder / "test.parquet")
    return folder


def command(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(part) for part in arguments])


def test_recommend_ends_in_its_sentence(graded: Path) -> None:
    done = command("recommend", graded / "all.parquet", "--router", "tfidf")
    assert done.exit_code == 0, done.output
    last = done.output.splitlines()[-1]
    assert last.startswith(("Use tfidf: it was as good as big alone", "Use big alone: no router beat it"))
    facts = json.loads(command("recommend", graded / "all.parquet", "--router", "tfidf", "--json").output)
    assert facts["sentence"] == last
    wrong = command("recommend", graded / "all.parquet", "--router", "oracle")
    assert isinstance(wrong.exception, InputError)


def test_labels_are_said_to_be_read_as_outcomes_and_what_is_dearer_than_the_budget_is_marked(
    graded: Path, tmp_path: Path
) -> None:
    rows = [f"p{i},{'sum' if i % 2 else 'poem'} number {i},{'math' if i % 2 else 'poet'}\n" for i in range(20)]
    (tmp_path / "labels.csv").write_text("prompt_id,prompt,agents\n" + "".join(rows), encoding="utf-8")
    labels = command("recommend", tmp_path / "labels.csv", "--router", "tfidf").output
    assert labels.startswith("Labels are read as outcomes: one agent is chosen for each prompt")
    within = command("recommend", graded / "all.parquet", "--router", "tfidf", "--budget", 0.005).output
    over = {line.split()[0] for line in within.splitlines() if line.rstrip().endswith(" over")}
    assert {"dearest", "random"} <= over
    assert "cheapest" not in over


def test_crossval_says_what_it_left_out_and_draws(graded: Path) -> None:
    done = command(
        "crossval", graded / "all.parquet", "--router", "tfidf", "--no-baselines", "--pictures", graded / "drawn"
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (graded / "drawn").glob("*.png")) == ["cost_quality.png", "slices.png"]
    assert "optimistic" in done.output
    assert "Not fitted: knn, linear, clusters" in done.output


def test_evaluate_prints_tables_that_fit_and_chooses_in_train(graded: Path) -> None:
    assert command("fit", graded / "train.parquet", "--router", "tfidf", "--out", graded / "r").exit_code == 0
    assert command("predict", graded / "r", graded / "test.parquet", "--out", graded / "p.csv").exit_code == 0
    arguments = ("evaluate", graded / "p.csv", graded / "test.parquet", "--train", graded / "train.parquet")
    table = command(*arguments, "--no-baselines")
    assert table.exit_code == 0, table.output
    assert max(len(line.rstrip()) for line in table.output.splitlines() if line.startswith("  ")) <= 80
    assert "router minus it" in table.output
    report = json.loads(command(*arguments, "--no-baselines", "--json").output)
    assert (report["chosen_in"], report["baselines_left_out"]) == ("train", ["knn", "linear", "clusters"])
    alone = json.loads(command(*arguments[:3], "--json").output)
    assert alone["chosen_in"] == "the evaluated prompts"


def test_options_of_graded_tables_are_refused_for_labels(tmp_path: Path) -> None:
    rows = {"prompt_id": ["a", "b", "c"], "prompt": ["one", "two", "three"], "agents": ["x", "y", "x"]}
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    done = command("crossval", tmp_path / "t.csv", "--router", "tfidf", "--folds", "2", "--pictures", tmp_path / "d")
    assert isinstance(done.exception, InputError)
    assert "--pictures is for tables with candidate and quality" in str(done.exception)


def test_costs_of_a_candidate_that_was_hardly_tried_are_none() -> None:
    outcomes = table(cost=(np.nan, np.nan, 1.0))
    quality = outcomes.quality.copy()
    quality[5:, 2] = np.nan
    scarce = replace(outcomes, quality=quality)
    assert recommend(scarce, parts_of(scarce, FOLDS), {"linear": router((0.8, 0.6, 0.4))}).mixture is None
