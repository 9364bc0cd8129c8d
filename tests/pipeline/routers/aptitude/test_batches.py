"""What the full reader of aptitude is trained on: candidates, prompts, targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted_aptitude import TASKS, levels_alone, specialists

from pipeline.routers.aptitude.attention_reader import AttentionReader
from pipeline.routers.aptitude.language_model.batches import BatchSampler, CapabilityBatch
from pipeline.routers.aptitude.language_model.training import teacher_of
from pipeline.routers.aptitude.training_set import TrainingSet
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    return levels_alone()


def _drawn(training_set: TrainingSet, count: int, **told: object) -> list[CapabilityBatch]:
    sampler = BatchSampler(training_set, AptitudeParams(step_prompts=4, **told), 5)
    return [sampler.draw() for _ in range(count)]


def test_an_exercise_has_tried_prompts_and_lines_in_changing_order(training_set: TrainingSet) -> None:
    drawn = _drawn(training_set, 80, virtual=0)
    assert not any(np.isnan(each.quality).any() for each in drawn)
    assert len({tuple("poem" in line for line in each.lines[-TASKS:]) for each in drawn}) == TASKS
    assert all(len(set(each.rows.tolist())) == 4 for each in drawn)
    facts = [each for each in drawn if each.lines[0] == "a large one"]
    assert 5 < len(facts) < 40
    assert all(np.array_equal(each.quality, training_set.quality[each.rows, 0]) for each in facts)


def test_virtual_candidates_are_exercised_too(training_set: TrainingSet) -> None:
    every = [each for each in _drawn(training_set, 80, virtual=4) if all("excellent" in line for line in each.lines)]
    assert any((each.quality == 1).all() for each in every)
    mixed = [each for each in _drawn(training_set, 80, virtual=4) if _is_mixed(each)]
    assert len(mixed) > 5
    assert not [each for each in _drawn(training_set, 80, virtual=0) if _is_mixed(each)]


def _is_mixed(batch: CapabilityBatch) -> bool:
    """Good at some tasks and bad at others, as no real candidate here."""
    grades = {line.split(" at ")[0] for line in batch.lines}
    return bool(grades & {"excellent", "very good"} and grades & {"hopeless", "very bad"})


def test_a_group_is_one_handled_prompt_and_others_mishandled(training_set: TrainingSet) -> None:
    for each in _drawn(training_set, 40, loss="group", group=3, virtual=4):
        assert each.quality.tolist() == [1, 0, 0]


def test_a_lesson_that_nobody_tried_is_refused(training_set: TrainingSet) -> None:
    untried = np.full_like(training_set.quality, np.nan)
    nothing = replace(training_set, quality=untried)
    with pytest.raises(InputError, match="add outcomes"):
        _drawn(nothing, 1, virtual=0)


def test_after_a_prompt_stand_the_candidates_lines_of_the_tasks_nearest_to_it() -> None:
    learnt = specialists()
    for each in _drawn(learnt, 20, nearest=2):
        for row, near in zip(each.rows, each.nearest, strict=True):
            assert len(near) == 2
            assert set(near) <= set(each.lines)
            assert learnt.test.keywords[learnt.task[row]][0] in near[-1], "the nearest stands last, by the question"
    assert not any(each.nearest[0] for each in _drawn(learnt, 5, nearest=0))


def test_targets_are_outcomes_and_what_the_teacher_says() -> None:
    learnt = specialists()
    teacher = AttentionReader(AptitudeParams())
    teacher.fit(learnt, 3)
    sampler = BatchSampler(learnt, AptitudeParams(distil=0.5), 5, teacher)
    for each in (sampler.draw() for _ in range(20)):
        said = 2 * each.target - each.quality
        assert ((said > 0) & (said < 1)).all()
        assert not np.array_equal(each.target, each.quality)
    drawn = BatchSampler(learnt, AptitudeParams(distil=0.0), 5, teacher).draw()
    assert drawn.target == pytest.approx(drawn.quality)


@pytest.mark.parametrize("told", [{"distil": 0.0}, {"loss": "group"}])
def test_no_teacher_is_fitted_where_nothing_is_learnt_from_it(told: dict[str, Any]) -> None:
    assert teacher_of(specialists(), AptitudeParams(**told), 5) is None
    assert teacher_of(specialists(), AptitudeParams(tasks=2), 5) is not None


def test_options_are_rotated_where_most_candidates_fail(training_set: TrainingSet) -> None:
    asked = tuple(f"Which is {i}?\nA. one\nB. two\nC. three" for i in range(len(training_set.prompts)))
    quality = np.zeros_like(training_set.quality)
    quality[::2] = 1
    chosen = replace(training_set, prompts=asked, quality=quality)
    easy, hard = set(), set()
    for each in _drawn(chosen, 40, virtual=0):
        for row, text in zip(each.rows, each.prompts, strict=True):
            (hard if row % 2 else easy).add(text.split("\n", 1)[1])
    assert easy == {"A. one\nB. two\nC. three"}
    assert hard == {"A. one\nB. two\nC. three", "A. three\nB. one\nC. two", "A. two\nB. three\nC. one"}
