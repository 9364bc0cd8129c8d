"""A whole router: costs of each prompt, policies that are stored, pools at decision time, and candidates that join."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sandbox import ROOT

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.data.pool import PoolCandidate
from pipeline.data.prices import Priced
from pipeline.encoders.encoder_files import DECISIVE_BEFORE, encoder_identity
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.policies.policy import (
    BestPolicy,
    PairPolicy,
    PolicyParams,
    SubsetPolicy,
    WillingnessPolicy,
    below_threshold,
)
from pipeline.routers.base.cost_model import tokens_in
from pipeline.routers.base.protocol import CrossFitScores, Scorer, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import DESCRIPTION, CalibratedRouter
from pipeline.routers.fitting import crossvalidate, fit_router
from pipeline.routers.systems import load_router, open_router
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.plain import plain
from pipeline.runtime.tables import read_json, write_json

pytestmark = pytest.mark.usefixtures("one_thread")
GOLDEN = ROOT / "tests" / "golden" / "0.1.0" / "artifact" / "artifacts" / "router"
NAMES = ("big", "mid", "small")
PRICES = {"big": (10.0, 30.0), "mid": (1.0, 2.0), "small": (0.0, 0.5)}
WORDS = ("prove the theorem about primes", "sum up the letter", "say hello")


def prices(**changes: tuple[float, float]) -> tuple[Priced, ...]:
    known = {**PRICES, **changes}
    return tuple(Priced(name=n, usd_per_million_in=a, usd_per_million_out=b) for n, (a, b) in known.items())


def pool(changes: dict[str, Any] | None = None, **entries: dict[str, Any]) -> tuple[PoolCandidate, ...]:
    """The three candidates, and others, with what is said of each by name."""
    made = []
    for name in (*NAMES, *(name for name in entries if name not in NAMES)):
        usd_in, usd_out = PRICES.get(name, (1.0, 1.0))
        facts = {"usd_per_million_in": usd_in, "usd_per_million_out": usd_out, "context_tokens": 100_000, "owner": "us"}
        made.append(PoolCandidate.model_validate({"name": name, **facts, **entries.get(name, {})}))
    return tuple(made)


def graded(rows: int = 90, seed: int = 0) -> Outcomes:
    """Hard prompts need `big`, easy ones are answered nearly as well by all; every answer has 200 tokens."""
    random = np.random.default_rng(seed)
    prompts = [f"{WORDS[i % 3]} number {i} {'x' * int(random.integers(0, 400))}" for i in range(rows)]
    hard = np.arange(rows) % 3
    quality = np.stack([np.full(rows, 0.8), 0.78 * (hard >= 1), 0.78 * (hard >= 2)], axis=1).astype(np.float32)
    quality = np.clip(quality + random.normal(0, 0.02, quality.shape), 0, 1).astype(np.float32)
    usd = np.array([PRICES[name] for name in NAMES])
    cost = ((tokens_in(prompts)[:, None] * usd[:, 0] + 200 * usd[:, 1]) / 1e6).astype(np.float32)
    return Outcomes(tuple(f"p{i}" for i in range(rows)), tuple(prompts), NAMES, quality, cost, False)


def labels() -> Outcomes:
    outcomes = graded()
    quality = (np.arange(90)[:, None] % 3 == np.arange(3)).astype(np.float32)
    cost = np.tile(np.array([0.018, 0.004, 0.011], dtype=np.float32), (90, 1))
    return replace(outcomes, quality=quality, cost=cost, is_labels=True)


def fitted(outcomes: Outcomes, policy: PolicyParams | None = None, paid: Sequence[Priced] = ()) -> CalibratedRouter:
    return fit_router("tfidf", outcomes, FinetuningParams(), 7, None, policy or PolicyParams(), paid)


@pytest.fixture(scope="module")
def priced() -> CalibratedRouter:
    return fitted(graded(), paid=prices())


ASKED = ("prove the theorem about primes", "sum up the letter " + "y" * 4000, "say hello")


# --- costs and stored policies ----------------------------------------------------------------------------------


def test_costs_of_a_prompt_follow_its_length(priced: CalibratedRouter) -> None:
    found = priced.predict(ASKED)
    assert found.cost.dtype == np.float64
    usd = np.array([PRICES[name] for name in NAMES])
    expected = (tokens_in(ASKED)[:, None] * usd[:, 0] + 200 * usd[:, 1]) / 1e6
    assert found.cost == pytest.approx(expected, rel=1e-3)
    learnt = fitted(graded()).predict(ASKED).cost
    assert learnt[1, 0] > 1.5 * learnt[0, 0], "also without prices a longer prompt costs more"
    assert learnt[0, 2] == learnt[1, 2] == pytest.approx(1e-4), "what always costs the same does"


def test_labels_choose_a_subset_and_cost_just_what_an_agent_costs() -> None:
    router = fitted(labels())
    found = router.predict(ASKED)
    assert isinstance(router.policy, SubsetPolicy)
    assert found.operating is None
    assert found.cost.tolist() == [[0.018, 0.004, 0.011]] * 3


@pytest.mark.parametrize(
    "policy",
    [
        PolicyParams(),
        PolicyParams(kind="willingness"),
        PolicyParams(kind="willingness", mean_budget_usd=0.003),
        PolicyParams(kind="pair", strong_share=0.3),
        PolicyParams(kind="budget", budget_usd=0.0005),
    ],
    ids=lambda policy: policy.kind,
)
@pytest.mark.parametrize("paid", [(), prices()], ids=["costs", "prices"])
def test_a_stored_policy_decides_alike_after_loading(
    policy: PolicyParams, paid: Sequence[Priced], tmp_path: Path
) -> None:
    router = fitted(graded(), policy, paid)
    router.save(tmp_path / "router")
    again = open_router(tmp_path / "router")
    before, after = router.predict(ASKED), again.predict(ASKED)
    assert again.policy == router.policy
    assert again.chosen_on == router.chosen_on
    assert again.operating == router.operating
    assert again.can_reprice == bool(paid)
    for name in ("quality", "cost", "chosen", "operating"):
        assert getattr(after, name).tobytes() == getattr(before, name).tobytes(), name


def test_willingness_sends_easy_prompts_elsewhere_and_says_what_lambda_was_chosen_on() -> None:
    dear = np.array([1.0, 0.75, 0.75], dtype=np.float32)  # on easy prompts the cheaper ones are worse, and worth it
    router = fitted(replace(graded(), quality=graded().quality * dear), PolicyParams(kind="willingness", give_up=0.25))
    assert isinstance(router.policy, WillingnessPolicy)
    assert router.predict(ASKED).chosen.argmax(axis=1).tolist() == [0, 1, 2]
    assert router.chosen_on["rows"] == 90
    assert router.chosen_on["cost_usd"] < router.chosen_on["quality_first"]["cost_usd"]
    assert router.chosen_on["quality"] >= router.chosen_on["quality_first"]["quality"] - 0.25


def test_nothing_is_chosen_on_the_prompts_that_are_judged() -> None:
    outcomes, folds = graded(), (np.arange(90) // 3 % 3).astype(np.int64)
    quality, cost = outcomes.quality.copy(), outcomes.cost.copy()
    quality[folds == 0], cost[folds == 0] = quality[folds == 0][:, ::-1], 7.0
    policy = PolicyParams(kind="willingness")
    seen, other = (
        crossvalidate("tfidf", table, folds, FinetuningParams(), 7, None, policy)
        for table in (outcomes, replace(outcomes, quality=quality, cost=cost))
    )
    for name in ("quality", "cost", "chosen", "operating"):
        assert getattr(seen, name)[folds == 0].tobytes() == getattr(other, name)[folds == 0].tobytes(), name
        assert getattr(seen, name)[folds != 0].tobytes() != getattr(other, name)[folds != 0].tobytes(), name


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_of_strong_calls_is_realised_on_new_prompts(share: float) -> None:
    outcomes, new = noisy(1200, seed=1), noisy(1200, seed=2)
    policy = PolicyParams(kind="pair", strong="big", weak="small", strong_share=share)
    router = CalibratedRouter(Planted(), policy)
    router.fit(outcomes, make_folds(outcomes, 3, 7))
    assert isinstance(router.policy, PairPolicy)
    assert router.chosen_on["strong_share"] == pytest.approx(share, abs=0.001)
    found = router.predict(new.prompts)
    assert found.chosen[:, 0].mean() == pytest.approx(share, abs=0.05)
    report = plain(outcome_report(found, new))
    assert report["pair"]["strong"] == "big"
    assert report["pair"]["rows"]["router"]["share_of_strong"] == pytest.approx(found.chosen[:, 0].mean(), abs=1e-6)


def noisy(rows: int, seed: int) -> Outcomes:
    """Prompts that say how much better `big` is than `small`, from 0 to 1."""
    random = np.random.default_rng(seed)
    gain = random.random(rows).round(6)
    quality = np.stack([0.4 + 0.6 * gain, np.full(rows, 0.3), 0.4 * np.ones(rows)], axis=1).astype(np.float32)
    cost = np.tile(np.array([0.01, 0.002, 0.001], dtype=np.float32), (rows, 1))
    names = tuple(f"p{i}" for i in range(rows))
    return Outcomes(names, tuple(f"{g:.6f}" for g in gain), NAMES, quality, cost, False)


class Planted(Scorer):
    """Reads its scores off the prompt, so that choices can be counted by hand; a candidate may join."""

    name: ClassVar[str] = "planted"
    joined = 0

    def cross_fit(self, outcomes: Outcomes, folds: Any, int8: Any = None) -> CrossFitScores:
        return CrossFitScores(self.scores(outcomes.prompts, np.zeros((0, 0), np.float32)))

    def fit(self, outcomes: Outcomes) -> None:
        self.seen = outcomes

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        gain = np.array([float(text) if text[0].isdigit() else 0.5 for text in prompts])
        known = np.stack([0.4 + 0.6 * gain, np.full(len(gain), 0.3), np.full(len(gain), 0.4)], axis=1)
        return np.hstack([known, np.full((len(gain), self.joined), 0.95)]).astype(np.float32)

    def join(self, outcomes: Outcomes) -> None:
        self.seen, self.joined = outcomes, len(outcomes.candidates) - 3

    def save(self, folder: Path) -> None:
        write_json({"joined": self.joined}, folder / "planted.json")

    def load(self, folder: Path) -> None:
        self.joined = read_json(folder / "planted.json")["joined"]


# --- the report's operating point -------------------------------------------------------------------------------


def test_the_report_shows_a_lambda_of_train_beside_the_swept_curve() -> None:
    outcomes = graded()
    found = crossvalidate("tfidf", outcomes, (np.arange(90) // 3 % 3).astype(np.int64), FinetuningParams(), 7)
    assert found.operating is not None
    assert found.operating.sum(axis=1).tolist() == [1] * 90
    swept = plain(outcome_report(found, outcomes))["swept"]
    at = swept["operating_point"]
    assert "optimistic" in swept["label"]
    assert "chosen in train" in at["label"]
    picks = found.operating.argmax(axis=1)
    assert at["quality"] == pytest.approx(outcomes.quality[np.arange(90), picks].mean(), abs=1e-5)
    assert at["cost_usd"] == pytest.approx(outcomes.cost[np.arange(90), picks].mean(), rel=1e-4)
    assert at["cost_usd"] < plain(outcome_report(found, outcomes))["metrics"]["router"]["cost_usd"]["value"]
    assert at["minus_best_single"]["value"] == pytest.approx(at["quality"] - outcomes.quality[:, 0].mean(), abs=1e-4)
    assert swept["operating_points"]["router"] == at


def test_without_a_lambda_the_report_shows_the_stored_policy() -> None:
    outcomes = graded()
    found = replace(fitted(outcomes).predict(outcomes.prompts), operating=None)
    swept = plain(outcome_report(found, outcomes))["swept"]
    assert swept["operating_point"]["label"] == "by the stored policy"
    assert swept["operating_points"] == {}


def test_parts_are_gathered_in_the_order_of_the_rows(priced: CalibratedRouter) -> None:
    whole = priced.predict(ASKED)
    rows = (np.array([2, 0]), np.array([1]))
    again = gathered([(part, priced.predict([ASKED[i] for i in part])) for part in rows])
    for name in ("quality", "cost", "chosen", "operating"):
        assert getattr(again, name).tolist() == getattr(whole, name).tolist()


# --- pools ------------------------------------------------------------------------------------------------------


def picks(router: CalibratedRouter, *args: Any) -> list[str | None]:
    return [NAMES[row.argmax()] if row.any() else None for row in router.predict(ASKED, *args).chosen]


def test_prices_of_the_pool_replace_those_of_training(priced: CalibratedRouter) -> None:
    before, after = priced.predict(ASKED), priced.predict(ASKED, pool(big={"usd_per_million_out": 60.0}))
    assert after.cost[:, 0] - before.cost[:, 0] == pytest.approx([200 * 30e-6] * 3, rel=1e-3)
    assert after.cost[:, 1:].tolist() == before.cost[:, 1:].tolist()
    assert after.quality.tobytes() == before.quality.tobytes()


def test_a_changed_price_changes_the_choice_without_a_refit() -> None:
    router = fitted(graded(), PolicyParams(kind="budget", budget_usd=0.004), prices())
    assert picks(router)[0] == "small", "big is expected to cost .006 and more, and mid knows no more than small"
    assert picks(router, pool(big={"usd_per_million_out": 1.0}))[0] == "big"


def test_whoever_is_retired_barred_or_too_small_is_not_chosen(priced: CalibratedRouter) -> None:
    assert picks(priced, pool())[0] == "big"
    assert "big" not in picks(priced, pool(big={"state": "retired"}))
    health = [("Health",), (), ("other",)]
    barred = picks(priced, pool(big={"never_send": ("health",)}), health)
    assert barred[0] != "big"
    assert barred[1:] == picks(priced, pool())[1:]
    # the second prompt has 1004.5 tokens, and an answer is expected to have 200
    for tokens, may in ((1000, False), (1100, False), (1210, True)):
        one = pool(**{name: {"context_tokens": tokens} for name in NAMES})
        assert (picks(priced, one)[1] is not None) == may, tokens
        assert None not in (picks(priced, one)[0], picks(priced, one)[2])


def test_where_nobody_may_answer_nobody_is_chosen(priced: CalibratedRouter) -> None:
    retired = pool(**{name: {"state": "retired"} for name in NAMES})
    found = priced.predict(ASKED, retired)
    assert not found.chosen.any()
    assert found.table(["a", "b", "c"])["chosen"].sum() == 0


def test_a_candidate_that_the_pool_does_not_know_is_an_error_and_not_free(priced: CalibratedRouter) -> None:
    with pytest.raises(InputError, match="the pool has no candidate 'mid'"):
        priced.predict(ASKED, tuple(each for each in pool() if each.name != "mid"))
    with pytest.raises(InputError, match="the pool has no candidate 'small'"):
        fitted(graded(), paid=prices()[:2])
    assert picks(priced, pool(other={})) == picks(priced, pool()), "others in the pool change nothing"


def test_labels_without_a_pool_are_refused(priced: CalibratedRouter) -> None:
    with pytest.raises(InputError, match="labels need a pool"):
        priced.predict(ASKED, None, [("health",), (), ()])
    assert priced.predict(ASKED, None, [(), (), ()]).chosen.any(axis=1).all()


# --- joining ----------------------------------------------------------------------------------------------------


def joining(outcomes: Outcomes) -> Outcomes:
    """The outcomes with a fourth candidate, tried on every other prompt."""
    fresh = np.where(np.arange(len(outcomes)) % 2 == 0, 0.95, np.nan).astype(np.float32)[:, None]
    cost = np.where(np.isnan(fresh), np.nan, np.float32(0.0007))
    return replace(
        outcomes, candidates=(*NAMES, "fresh"), quality=np.hstack([outcomes.quality, fresh]),
        cost=np.hstack([outcomes.cost, cost.astype(np.float32)]),
    )  # fmt: skip


def test_a_candidate_joins_without_touching_the_others(tmp_path: Path) -> None:
    outcomes = noisy(60, seed=1)
    router = CalibratedRouter(Planted(), PolicyParams(kind="willingness", quality_per_usd=2.0))
    router.fit(outcomes, make_folds(outcomes, 3, 7))
    before, policy = router.predict(outcomes.prompts), router.policy
    router.join(joining(outcomes))
    after = router.predict(outcomes.prompts)
    assert router.candidates == after.candidates == (*NAMES, "fresh")
    assert after.quality[:, :3].tobytes() == before.quality.tobytes()
    assert after.cost[:, :3].tobytes() == before.cost.tobytes()
    assert after.cost[:, 3].tolist() == [0.0007] * 60
    assert router.policy == policy
    assert after.chosen[:, 3].any(), "the new one is chosen where it is worth it"
    router.save(tmp_path / "router")
    again = load_router(tmp_path / "router", {"planted": Planted})
    assert again.predict(outcomes.prompts).chosen.tobytes() == after.chosen.tobytes()


def test_what_cannot_join_says_so_and_changes_nothing(priced: CalibratedRouter) -> None:
    with pytest.raises(InputError, match="a tfidf router cannot take in a candidate without a refit; fit it again"):
        priced.join(joining(graded()))
    outcomes = noisy(60, seed=1)
    router = CalibratedRouter(Planted())
    router.fit(outcomes, make_folds(outcomes, 3, 7))
    for wrong in (outcomes, replace(joining(outcomes), candidates=("mid", "big", "small", "fresh"))):
        with pytest.raises(InputError, match="the router knows big, mid, small"):
            router.join(wrong)
    with pytest.raises(InputError, match="fitted without the prices"):
        router.join(joining(outcomes), prices(fresh=(1.0, 1.0)))
    assert router.candidates == NAMES
    assert router.predict(["0.5"]).quality.shape == (1, 3)


def test_agents_cannot_join_since_their_thresholds_are_learnt() -> None:
    outcomes = replace(labels(), prompts=tuple(f"0.{i:02d}" for i in range(90)))
    router = CalibratedRouter(Planted())
    router.fit(outcomes, make_folds(outcomes, 3, 7))
    with pytest.raises(InputError, match="cannot take in a candidate without a refit"):
        router.join(joining(outcomes))


# --- what is saved ----------------------------------------------------------------------------------------------


def test_a_router_is_tied_to_the_encoder_that_its_policy_was_chosen_with(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, encoder)
    router = fit_router("linear", graded(30), FinetuningParams(encoder=str(encoder), max_tokens=24, folds=2), 1)
    router.save(tmp_path / "router")
    open_router(tmp_path / "router")
    (encoder / "README.md").write_text("what is said of an encoder may change")
    open_router(tmp_path / "router")
    weights = next(encoder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(VerificationFailed, match="refit the router with this encoder") as refused:
        open_router(tmp_path / "router")
    assert "\n" not in str(refused.value)


def test_a_fine_tuned_encoder_is_tied_too(tiny_encoder: Path, tmp_path: Path) -> None:
    params = FinetuningParams(encoder=str(tiny_encoder), max_tokens=24, epochs=1, folds=2)
    fit_router("classifier", graded(12), params, 1).save(tmp_path / "router")
    open_router(tmp_path / "router")
    described = tmp_path / "router" / DESCRIPTION
    made = read_json(described)
    before = encoder_identity(str(tmp_path / "router" / "encoder"), decisive=DECISIVE_BEFORE)
    assert before != made["encoder"]
    write_json(made | {"encoder": before}, described)
    open_router(tmp_path / "router")  # as the release before recorded it
    config = tmp_path / "router" / "encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_act": "relu"}))
    with pytest.raises(VerificationFailed, match="refit"):
        open_router(tmp_path / "router")


def test_a_router_of_an_earlier_release_still_loads_and_decides() -> None:
    description = read_json(GOLDEN / "model" / DESCRIPTION)
    router = open_router(GOLDEN / "model")
    assert not {"encoder", "operating", "chosen_on"} & set(description)
    assert isinstance(router.policy, SubsetPolicy)
    found = router.predict(["Translate this letter into Dutch."])
    assert found.cost[0].tolist() == description["costs"]
    assert found.operating is None
    named = [name for name, hit in zip(router.candidates, found.chosen[0], strict=True) if hit]
    assert "translation" in named


def test_the_holdout_of_an_earlier_release_is_routed_as_it_was_but_where_none_reaches_its_threshold() -> None:
    import pandas as pd

    router, kept = open_router(GOLDEN / "model"), pd.read_parquet(GOLDEN / "evidence" / "predictions.parquet")
    quality = kept[list(router.candidates)].to_numpy(np.float32)
    chosen = router.policy.choose(quality)
    named = np.array(["|".join(np.array(router.candidates)[row]) for row in chosen])
    below = below_threshold(router.policy, quality, chosen)
    assert 0 < below.sum() < len(below)
    assert named[~below].tolist() == kept["chosen"][~below].tolist()
    assert named[below].tolist() == [router.candidates[i] for i in quality[below].argmax(axis=1)]


def test_quality_first_is_stored_with_what_it_was_judged_on(priced: CalibratedRouter) -> None:
    assert priced.policy == BestPolicy()
    assert priced.chosen_on["rows"] == 90
    assert priced.chosen_on["folds"] == 3
    assert priced.operating is not None
    assert "least cost" in priced.operating.chosen_on["criterion"]
