"""The tags router: what it learns, why it decides, how a candidate joins, what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.tags.router import FACTS, TENSORS, TagsScorer
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
TOPICS = {
    "ships": [
        "harbour",
        "anchor",
        "sail",
        "captain",
        "deck",
        "mast",
        "ferry",
        "tide",
        "cabin",
        "crew",
        "rudder",
        "hull",
    ],
    "bread": [
        "oven",
        "flour",
        "yeast",
        "dough",
        "crust",
        "baker",
        "loaf",
        "toast",
        "butter",
        "wheat",
        "kneading",
        "rye",
    ],
    "stars": [
        "planet",
        "orbit",
        "comet",
        "telescope",
        "galaxy",
        "moon",
        "nebula",
        "eclipse",
        "asteroid",
        "star",
        "sky",
        "lunar",
    ],
}
CANDIDATES = ("general", "sailor", "baker")
CHANCE = {"ships": (0.6, 0.95, 0.2), "bread": (0.6, 0.2, 0.95), "stars": (0.6, 0.2, 0.2)}
"""How often each candidate is right."""
PARAMS = TagsParams(clusters=(4,))


def table(rows: int = 240, seed: int = 0, chance: dict[str, tuple[float, ...]] = CHANCE) -> Outcomes:
    random = np.random.default_rng(seed)
    topics = [list(TOPICS)[i % 3] for i in range(rows)]
    prompts = [f"{' '.join(random.choice(TOPICS[t], 3, replace=False))} {seed} {i}" for i, t in enumerate(topics)]
    quality = (random.random((rows, 3)) < np.array([chance[t] for t in topics])).astype(np.float32)
    return Outcomes(
        tuple(f"p{i}" for i in range(rows)), tuple(prompts), CANDIDATES, quality,
        np.full(quality.shape, np.nan, np.float32), is_labels=False, datasets=tuple(topics),
    )  # fmt: skip


def columns(outcomes: Outcomes, *places: int) -> Outcomes:
    index = list(places)
    return replace(
        outcomes,
        candidates=tuple(outcomes.candidates[i] for i in index),
        quality=outcomes.quality[:, index],
        cost=outcomes.cost[:, index],
    )


def fitted(outcomes: Outcomes, minilm: FrozenEmbedding, params: TagsParams = PARAMS) -> CalibratedRouter:
    router = CalibratedRouter(TagsScorer(minilm, 1, params))
    router.fit(outcomes, make_folds(outcomes, 3, 1))
    return router


def scorer_of(router: CalibratedRouter) -> TagsScorer:
    assert isinstance(router.scorer, TagsScorer)
    return router.scorer


def own_bytes(scorer: TagsScorer, candidates: int) -> dict[str, bytes]:
    """All that is stored, as bytes; of what has a column a candidate, the first columns."""
    tagging, evidence, memory = scorer._fitted()
    stored = {**tagging.tensors(), **evidence.tensors(), **memory.tensors(), "scores": evidence.scores}
    by_candidate = {"wins", "ties", "losses", "scores"} | {f"overall.{n}" for n in ("wins", "ties", "losses")}
    by_candidate |= {f"maps.{n}" for n in ("level", "slope", "centre")}
    facts = {"facts": repr(evidence.facts()).encode(), "tags": repr(tagging.facts()).encode()}
    return facts | {
        name: (array[..., :candidates] if name in by_candidate else array).tobytes() for name, array in stored.items()
    }


@pytest.fixture(scope="module")
def router(minilm: FrozenEmbedding) -> CalibratedRouter:
    return fitted(table(), minilm)


# --- what it learns ---------------------------------------------------------------------------------------------


def test_each_topic_goes_to_its_best_candidate(router: CalibratedRouter) -> None:
    new = table(90, seed=5)
    found = router.predict(new.prompts)
    expected = [{"ships": 1, "bread": 2, "stars": 0}[topic] for topic in new.datasets or ()]
    assert (found.chosen.argmax(axis=1) == expected).mean() > 0.9
    chances = np.array([CHANCE[topic] for topic in new.datasets or ()])
    assert abs(found.quality - chances).mean() < 0.1


def test_held_out_scores_are_calibrated(minilm: FrozenEmbedding) -> None:
    outcomes = table()
    held_out = CalibratedRouter(TagsScorer(minilm, 1, PARAMS)).fit(outcomes, make_folds(outcomes, 3, 1)).held_out
    assert held_out.mean(axis=0) == pytest.approx(outcomes.quality.mean(axis=0), abs=0.05)
    top = held_out > 0.75
    assert outcomes.quality[top].mean() == pytest.approx(held_out[top].mean(), abs=0.12)


def test_the_reference_is_the_best_single_candidate_and_is_stored(minilm: FrozenEmbedding, tmp_path: Path) -> None:
    best = dict.fromkeys(TOPICS, (0.3, 0.9, 0.3))
    router = fitted(table(chance=best), minilm)
    router.save(tmp_path / "router")
    again = scorer_of(open_router(tmp_path / "router"))
    assert again._fitted()[1].reference.column == 1
    assert again.explain("oven flour", minilm.embed(["oven flour"])[0]).reference == "sailor"


def test_the_value_of_a_tie_is_one_of_those_given(router: CalibratedRouter, minilm: FrozenEmbedding) -> None:
    assert scorer_of(router).setting in PARAMS.ties
    forced = fitted(table(), minilm, PARAMS.model_copy(update={"ties": (0.4,)}))
    assert scorer_of(forced)._fitted()[1].variant.tie == 0.4


def test_labels_choose_the_agents_that_were_planted(minilm: FrozenEmbedding) -> None:
    sure = {"ships": (0.0, 1.0, 0.0), "bread": (0.0, 0.0, 1.0), "stars": (1.0, 0.0, 0.0)}
    router = fitted(replace(table(chance=sure), is_labels=True), minilm)
    new = table(60, seed=5, chance=sure)
    assert (router.predict(new.prompts).chosen == (new.quality > 0.5)).mean() > 0.95


def test_half_of_the_cells_missing_costs_little(router: CalibratedRouter, minilm: FrozenEmbedding) -> None:
    outcomes, new = table(), table(90, seed=5)
    holes = np.random.default_rng(2).random(outcomes.quality.shape) < 0.5
    sparse = fitted(replace(outcomes, quality=np.where(holes, np.nan, outcomes.quality).astype(np.float32)), minilm)
    whole, found = router.predict(new.prompts).quality, sparse.predict(new.prompts).quality
    assert abs(found - whole).mean() < 0.08
    assert (found.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.85


# --- why --------------------------------------------------------------------------------------------------------


def test_an_explanation_adds_up_to_the_score(router: CalibratedRouter, minilm: FrozenEmbedding) -> None:
    scorer, prompt = scorer_of(router), "captain on the deck of a sail ship"
    vector = minilm.embed([prompt])
    why = scorer.explain(prompt, vector[0])
    score = scorer.scores([prompt], vector)[0]
    for c, name in enumerate(CANDIDATES):
        assert sum(tag.candidates[c].contribution for tag in why.tags) == pytest.approx(why.sums[name])
        expected = why.reference_quality + why.gaps[name]
        assert why.quality[name] == pytest.approx(float(score[c]))
        assert why.quality[name] == pytest.approx(expected, abs=1e-6 if 0.05 < expected < 0.95 else 0.05)
    assert why.gaps[why.reference] == 0.0
    assert max(why.quality, key=why.quality.__getitem__) == "sailor"
    assert why.to_json()["reference"] == "general"


def test_each_tags_evidence_is_its_tally(router: CalibratedRouter, minilm: FrozenEmbedding) -> None:
    outcomes, prompt = table(), "anchor"
    why = scorer_of(router).explain(prompt, minilm.embed([prompt])[0])
    found = next(tag for tag in why.tags if tag.tag == "phrase: anchor").candidates[1]
    rows = ["anchor" in text.split() for text in outcomes.prompts]
    difference = (outcomes.quality[:, 1] - outcomes.quality[:, 0])[rows]
    assert (found.candidate, found.n) == ("sailor", sum(rows))
    assert (found.wins, found.ties, found.losses) == (
        (difference > 0).sum(), (difference == 0).sum(), (difference < 0).sum(),
    )  # fmt: skip
    assert found.contribution > 0


# --- joining ----------------------------------------------------------------------------------------------------


def joining(outcomes: Outcomes) -> Outcomes:
    """A table in which the known two candidates were not tried."""
    quality = outcomes.quality.copy()
    quality[:, :2] = np.nan
    return replace(outcomes, quality=quality)


def test_a_candidate_joins_from_its_outcomes_alone_and_changes_nothing_else(minilm: FrozenEmbedding) -> None:
    outcomes, new = table(), table(90, seed=5)
    router = fitted(columns(outcomes, 0, 1), minilm)
    scorer = scorer_of(router)
    stored, before = own_bytes(scorer, 2), router.predict(new.prompts)
    router.join(joining(outcomes))
    assert own_bytes(scorer, 2) == stored
    after = router.predict(new.prompts)
    assert after.candidates == CANDIDATES
    assert np.ascontiguousarray(after.quality[:, :2]).tobytes() == before.quality.tobytes()
    whole = fitted(outcomes, minilm).predict(new.prompts).quality
    assert after.quality[:, 2] == pytest.approx(whole[:, 2], abs=0.05)
    assert (after.quality.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.95


def test_known_prompts_are_not_embedded_again(minilm: FrozenEmbedding) -> None:
    class Blind(FrozenEmbedding):
        def embed(self, prompts: object) -> FloatMatrix:
            raise AssertionError("was asked to embed")

    outcomes = table()
    scorer = scorer_of(fitted(columns(outcomes, 0, 1), minilm))
    scorer.embedding = Blind("minilm", 128)
    scorer.join(joining(outcomes))
    with pytest.raises(AssertionError, match="was asked to embed"):
        scorer.join(
            replace(table(3, seed=9), candidates=(*CANDIDATES[:2], "x")) if False else _fourth(table(3, seed=9))
        )


def _fourth(outcomes: Outcomes) -> Outcomes:
    """A fourth candidate that is always right."""
    return replace(
        outcomes,
        candidates=(*outcomes.candidates, "fourth"),
        quality=np.hstack([outcomes.quality, np.ones((len(outcomes), 1), np.float32)]),
        cost=np.hstack([outcomes.cost, outcomes.cost[:, :1]]),
    )


def test_a_candidate_may_join_from_prompts_that_were_not_in_training(minilm: FrozenEmbedding) -> None:
    router = fitted(columns(table(), 0, 1), minilm)
    router.join(joining(table(240, seed=8)))
    new = table(90, seed=5)
    is_bread = np.array(new.datasets) == "bread"
    assert (router.predict(new.prompts).quality.argmax(axis=1) == 2)[is_bread].mean() > 0.9


def test_the_reference_stays_although_a_better_candidate_joins(minilm: FrozenEmbedding) -> None:
    router = fitted(table(), minilm)
    scorer = scorer_of(router)
    router.join(_fourth(table()))
    assert scorer._fitted()[1].reference.column == 0
    assert (router.predict(table(30, seed=5).prompts).quality.argmax(axis=1) == 3).all()


def test_what_joined_is_saved_and_another_may_join_later(minilm: FrozenEmbedding, tmp_path: Path) -> None:
    router = fitted(columns(table(), 0, 1), minilm)
    router.join(joining(table()))
    router.save(tmp_path / "joined")
    again = open_router(tmp_path / "joined")
    prompts = table(30, seed=5).prompts
    assert again.predict(prompts).quality.tobytes() == router.predict(prompts).quality.tobytes()
    again.join(_fourth(table()))
    assert again.predict(prompts).quality.shape == (30, 4)


@pytest.mark.parametrize(("change", "message"), [
    (lambda o: columns(o, 1, 0, 2), "names the known candidates first"),
    (lambda o: columns(o, 0, 1), "then new ones"),
    (lambda o: replace(o, quality=np.where([True, True, False], o.quality, np.nan).astype(np.float32)), "no prompt"),
])  # fmt: skip
def test_a_joining_table_of_another_shape_is_refused(change, message, minilm: FrozenEmbedding) -> None:  # type: ignore[no-untyped-def]
    scorer = scorer_of(fitted(columns(table(), 0, 1), minilm))
    before = own_bytes(scorer, 2)
    with pytest.raises(InputError, match=message):
        scorer.join(change(table()))
    assert own_bytes(scorer, 2) == before


# --- bytes ------------------------------------------------------------------------------------------------------


def test_two_fits_give_the_same_files(minilm: FrozenEmbedding, tmp_path: Path) -> None:
    for name in ("first", "second"):
        fitted(table(), minilm).save(tmp_path / name)
    for name in (TENSORS, FACTS, "router.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_a_loaded_router_explains_as_before(router: CalibratedRouter, minilm: FrozenEmbedding, tmp_path: Path) -> None:
    router.save(tmp_path / "router")
    again = scorer_of(open_router(tmp_path / "router"))
    vector = minilm.embed(["a comet"])[0]
    assert again.explain("a comet", vector) == scorer_of(router).explain("a comet", vector)


def test_no_text_of_a_training_prompt_is_saved(minilm: FrozenEmbedding, tmp_path: Path) -> None:
    outcomes = table()
    secret = (f"my secret is {outcomes.prompts[0]}", *outcomes.prompts[1:])
    fitted(replace(outcomes, prompts=secret), minilm).save(tmp_path / "router")
    for path in (tmp_path / "router").iterdir():
        assert b"secret" not in path.read_bytes(), path


def test_an_unfitted_router_says_so(minilm: FrozenEmbedding) -> None:
    with pytest.raises(InputError, match="was not fitted"):
        TagsScorer(minilm, 1).scores(["x"], np.zeros((1, 384), np.float32))
