"""Every routing system: what it learns, what it saves, what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_subjects import subject_table

from pipeline.data.folds import inner_folds, make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.policies.policy import BestPolicy, SubsetPolicy
from pipeline.routers.calibrated import DESCRIPTION, FORMAT, CalibratedRouter
from pipeline.routers.finetuning import FinetuningParams
from pipeline.routers.fitting import fit_router, save_whole
from pipeline.routers.systems import SYSTEMS, new_router, open_router
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.checksums import CHECKSUMS
from pipeline.runtime.errors import InputError, VerificationFailed

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("coding", "email", "travel")
WORDS = ("loop stack compile function", "mail inbox reply letter", "train hotel ferry luggage")
NEW = ("the compile loop", "reply to the mail about the ferry", "Grüße, 東京 \U0001f600", "x", "ferry " * 400)
TEXT_ENDINGS = {".json", ".txt", ".jinja"}


def _labels(rows: int = 30, seed: int = 0) -> Outcomes:
    """Prompts made of the words of their candidates: each has one, every third has two."""
    random = np.random.default_rng(seed)
    quality = np.zeros((rows, len(NAMES)), dtype=np.float32)
    quality[np.arange(rows), np.arange(rows) % 3] = 1.0
    quality[np.arange(0, rows, 3), 1] = 1.0
    prompts = [
        " ".join(random.choice(WORDS[c].split()) for c in np.flatnonzero(row) for _ in range(3)) + f" number {i}"
        for i, row in enumerate(quality)
    ]
    cost = np.tile(np.array([0.018, 0.004, np.nan], dtype=np.float32), (rows, 1))
    return Outcomes(tuple(f"p{i}" for i in range(rows)), tuple(prompts), NAMES, quality, cost, is_labels=True)


def _graded() -> Outcomes:
    """Graded answers of which a third was never tried."""
    outcomes = _labels()
    random = np.random.default_rng(1)
    quality = (0.2 + 0.6 * outcomes.quality + 0.2 * random.random(outcomes.quality.shape)).astype(np.float32)
    quality[random.random(quality.shape) < 0.33] = np.nan
    return replace(outcomes, quality=quality, is_labels=False)


def _columns(outcomes: Outcomes, count: int) -> Outcomes:
    return replace(
        outcomes,
        candidates=outcomes.candidates[:count],
        quality=outcomes.quality[:, :count],
        cost=outcomes.cost[:, :count],
    )


def _without_positives() -> Outcomes:
    outcomes = _labels()
    quality = outcomes.quality.copy()
    quality[:, 2] = 0.0
    return replace(outcomes, quality=quality)


TABLES: dict[str, Callable[[], Outcomes]] = {
    "labels": _labels,
    "graded, a third missing": _graded,
    "one candidate": lambda: _columns(_labels(), 1),
    "a candidate without positives": _without_positives,
    "two prompts": lambda: _labels(2),
}


@pytest.fixture(scope="module")
def params(tiny_encoder: Path) -> FinetuningParams:
    return FinetuningParams(encoder=str(tiny_encoder), max_tokens=24, epochs=2, batch_size=8, folds=2)


@pytest.fixture(scope="module", params=[(s, t) for s in SYSTEMS for t in TABLES], ids=lambda case: ", ".join(case))
def fitted(request: pytest.FixtureRequest, params: FinetuningParams) -> tuple[CalibratedRouter, Outcomes]:
    system, table = request.param
    outcomes = TABLES[table]()
    return fit_router(system, outcomes, params, seed=1), outcomes


def test_a_router_predicts_every_prompt_and_is_the_same_after_saving_and_loading(
    fitted: tuple[CalibratedRouter, Outcomes], tmp_path: Path
) -> None:
    router, outcomes = fitted
    before = router.predict(NEW)
    shape = (len(NEW), len(outcomes.candidates))
    assert before.quality.shape == before.cost.shape == before.chosen.shape == shape
    assert ((before.quality >= 0) & (before.quality <= 1)).all()
    router.save(tmp_path / "router")
    again = open_router(tmp_path / "router")
    after = again.predict(NEW)
    assert again.candidates == router.candidates == outcomes.candidates
    assert after.quality.tobytes() == before.quality.tobytes()
    assert after.chosen.tobytes() == before.chosen.tobytes()
    assert after.cost == pytest.approx(before.cost, nan_ok=True)
    _assert_safe(tmp_path / "router")


def _assert_safe(folder: Path) -> None:
    """Nothing but safetensors and text: neither a pickle, nor a zip that may hold one, nor code."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".safetensors":
            header = int.from_bytes(path.read_bytes()[:8], "little")
            json.loads(path.read_bytes()[8 : 8 + header])
        else:
            assert path.suffix in TEXT_ENDINGS, path
            path.read_text(encoding="utf-8")


@pytest.mark.parametrize("system", SYSTEMS)
def test_graded_outcomes_give_quality_on_the_scale_of_the_grades(system: str, params: FinetuningParams) -> None:
    outcomes = subject_table(80, candidates=4, is_labels=False)
    outcomes = replace(outcomes, quality=0.1 + 0.5 * outcomes.quality)
    router = new_router(system, params, seed=7)
    held_out = router.fit(outcomes, inner_folds(outcomes, 2, seed=7)).held_out
    for found in (np.nanmean(held_out, axis=0), router.predict(outcomes.prompts).quality.mean(axis=0)):
        np.testing.assert_allclose(found, outcomes.quality.mean(axis=0), atol=0.12)


@pytest.mark.parametrize("system", SYSTEMS)
def test_labels_choose_a_subset_and_graded_answers_the_best_one(system: str, params: FinetuningParams) -> None:
    subset = fit_router(system, _labels(), params, seed=1)
    assert isinstance(subset.policy, SubsetPolicy)
    assert subset.policy.at_least_one
    assert subset.predict(NEW).chosen.any(axis=1).all()
    best = fit_router(system, _graded(), params, seed=1)
    assert isinstance(best.policy, BestPolicy)
    assert (best.predict(NEW).chosen.sum(axis=1) == 1).all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_where_each_prompt_has_one_label_one_is_chosen_and_probabilities_sum_to_one(
    system: str, params: FinetuningParams
) -> None:
    several = _labels()
    quality = np.zeros_like(several.quality)
    quality[np.arange(len(quality)), several.quality.argmax(axis=1)] = 1.0
    outcomes = replace(several, quality=quality)
    assert outcomes.is_exclusive
    assert not several.is_exclusive
    assert not several.rows(np.flatnonzero(several.quality.sum(axis=1) == 1)).is_exclusive, "what the table says"
    assert not replace(outcomes, is_labels=False).is_exclusive
    found = fit_router(system, outcomes, params, seed=1).predict(NEW)
    assert (found.chosen.sum(axis=1) == 1).all()
    assert found.quality.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("system", ["linear", "knn", "clusters", "tfidf", "tags"])
def test_planted_words_are_learnt(system: str) -> None:
    router = fit_router(system, _labels(90), FinetuningParams(), seed=1)
    new = _labels(30, seed=7)
    found = router.predict(new.prompts)
    assert ((found.quality > 0.5) == (new.quality > 0.5)).mean() > 0.9


@pytest.mark.parametrize("system", ["linear", "knn", "clusters", "tfidf", "tags"])
def test_what_was_not_tried_does_not_count_as_bad(system: str) -> None:
    outcomes = _graded()
    quality = np.where(np.isnan(outcomes.quality), np.nan, np.float32(0.9) + 0.05 * (outcomes.quality > 0.6))
    quality[:, 2] = np.nan
    router = fit_router(system, replace(outcomes, quality=quality.astype(np.float32)), FinetuningParams(), seed=1)
    found = router.predict(_labels(9, seed=7).prompts).quality
    assert found[:, :2] == pytest.approx(0.92, abs=0.05)
    assert found[:, 2] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_held_out_score_does_not_depend_on_the_rows_own_label(system: str, params: FinetuningParams) -> None:
    outcomes = _labels()
    folds = make_folds(outcomes, 3, seed=1)
    first = new_router(system, params, 1)
    before = first.scorer.cross_fit(outcomes, folds).scores
    for row in range(len(outcomes)):
        quality = outcomes.quality.copy()
        quality[row, 0] = 1 - quality[row, 0]
        second = new_router(system, params, 1)
        after = second.scorer.cross_fit(replace(outcomes, quality=quality), folds).scores
        if _tuned(second) == _tuned(first):  # else every label, this one too, has had a say in the setting
            break
    assert before[row].tobytes() == after[row].tobytes()
    assert (before[folds != folds[row]] != after[folds != folds[row]]).any()


def _tuned(router: CalibratedRouter) -> object:
    names = ("epochs", "inverse_penalty", "count", "setting", "settings", "mixing")
    return [getattr(router.scorer, name, None) for name in names]


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_prompt_is_too_few(system: str, params: FinetuningParams) -> None:
    with pytest.raises(InputError, match="needs at least 2 prompts"):
        fit_router(system, _labels(1), params, seed=1)


@pytest.fixture
def saved(tmp_path: Path, params: FinetuningParams) -> Path:
    fit_router("tfidf", _labels(), params, seed=1).save(tmp_path / "router")
    return tmp_path / "router"


def _describe(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("found", [FORMAT + 1, 0, None, str(FORMAT)])
def test_another_format_number_is_not_read(found: object, saved: Path) -> None:
    _describe(saved, format=found)
    with pytest.raises(VerificationFailed, match=f"router format {found}, this release reads {FORMAT}") as caught:
        open_router(saved)
    assert caught.value.exit_code == 4


def test_a_folder_that_is_missing_or_broken_holds_no_router(saved: Path) -> None:
    with pytest.raises(InputError, match="holds no router") as caught:
        open_router(saved.with_name("elsewhere"))
    assert caught.value.exit_code == 2
    for broken in ('{"format": 1', "[]", "null"):
        (saved / DESCRIPTION).write_text(broken, encoding="utf-8")
        with pytest.raises(VerificationFailed, match="holds a damaged router"):
            open_router(saved)


@pytest.mark.parametrize("names", [[], [NAMES[0]], ["a", "a", "a"], [1, 2, 3]])
def test_names_that_are_not_those_of_the_scores_are_a_damaged_router(names: list[object], saved: Path) -> None:
    _describe(saved, candidates=names)
    with pytest.raises(VerificationFailed, match="damaged router"):
        open_router(saved).predict(NEW)


def test_a_changed_or_lost_file_of_a_fitted_router_is_told(tmp_path: Path, params: FinetuningParams) -> None:
    folder = tmp_path / "router"
    save_whole(fit_router("tfidf", _labels(), params, seed=1), folder)
    open_router(folder)
    assert subprocess.run(["sha256sum", "-c", "--quiet", CHECKSUMS], cwd=folder, check=False).returncode == 0
    _describe(folder, chosen_on={})
    with pytest.raises(VerificationFailed, match=f"{DESCRIPTION} is not what was written, by {CHECKSUMS}"):
        open_router(folder)
    (folder / DESCRIPTION).unlink()
    with pytest.raises(VerificationFailed, match=f"{DESCRIPTION} is missing"):
        open_router(folder)


def test_what_is_no_finite_number_is_never_answered_by(tmp_path: Path, params: FinetuningParams) -> None:
    router = fit_router("tfidf", _labels(), params, seed=1)
    assert router.calibration is not None
    router.calibration = replace(router.calibration, slope=float("nan"))
    with pytest.raises(VerificationFailed, match="expects what is no finite number"):
        router.predict(NEW)


def test_a_saved_router_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    save_whole(fit_router("tfidf", _labels(), FinetuningParams(), 0), tmp_path / "router")
    mask = os.umask(0)
    os.umask(mask)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "router").rglob("*") if path.is_file()}
    assert modes == {0o666 & ~mask}


def test_an_unknown_system_is_named_with_the_known_ones(saved: Path, params: FinetuningParams) -> None:
    with pytest.raises(InputError, match="unknown router 'oracle'; known are classifier, linear, knn, clusters, tfidf"):
        new_router("oracle", params, 1)
    _describe(saved, system="oracle")
    with pytest.raises(InputError, match="holds a 'oracle' router; known are"):
        open_router(saved)


def test_costs_are_means_and_stay_unknown_where_none_is_known(saved: Path) -> None:
    found = open_router(saved).predict(NEW).cost
    assert found.shape == (len(NEW), 3)
    assert found[0].tolist() == pytest.approx([0.018, 0.004, float("nan")], nan_ok=True)


def test_no_prompts_get_no_predictions(saved: Path) -> None:
    nothing = open_router(saved).predict([])
    assert nothing.quality.shape == nothing.chosen.shape == (0, 3)
    assert nothing.table([]).empty


def test_the_table_of_predictions_has_a_row_a_prompt_and_candidate(saved: Path) -> None:
    predictions = open_router(saved).predict(NEW[:2])
    rows = predictions.table(["a", "b"])
    assert rows.columns.tolist() == ["prompt_id", "candidate", "score", "cost", "chosen"]
    assert rows["prompt_id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert rows["candidate"].tolist() == [*NAMES, *NAMES]
    wide: FloatMatrix = rows["chosen"].to_numpy().reshape(2, 3)
    assert (wide == predictions.chosen).all()


@pytest.mark.parametrize(("name", "damage"), [
    ("router.json", lambda text: text.replace("policy", "polity")),
    ("router.json", lambda text: text[: len(text) // 2]),
    ("tfidf.json", lambda text: text[:10]),
    ("tfidf.safetensors", lambda text: text[:40]),
])  # fmt: skip
def test_a_damaged_router_is_one_clear_line(name: str, damage: Callable[[str], str], tmp_path: Path) -> None:
    fit_router("tfidf", _labels(), FinetuningParams(), 0).save(tmp_path)
    content = (tmp_path / name).read_bytes().decode("latin-1")
    (tmp_path / name).write_bytes(damage(content).encode("latin-1"))
    with pytest.raises((VerificationFailed, InputError), match=r"damaged|holds no router"):
        open_router(tmp_path)
