"""Other wordings of prompts, and the trial that says whether they help."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learning.augmentation import AugmentationTrial, composed, refusing, retyped, spoken


def test_retyping_slips_in_few_words_and_keeps_numbers_and_short_words() -> None:
    text = "Please summarise the Attached meeting Minutes from 14 March, and list every Decision with its owner!"
    versions = [retyped(text, np.random.default_rng(seed)) for seed in range(200)]
    changed = [
        sum(a != b for a, b in zip(version.split(), text.lower().rstrip("!").split(), strict=True))
        for version in versions
    ]
    assert 0.5 < np.mean(changed) < 2.0
    assert all("14" in version and version.islower() and not version.endswith("!") for version in versions)
    assert len(set(versions)) > 50


def test_two_prompts_in_one_say_both_in_either_order() -> None:
    texts = [composed("Fix the loop.", "Mail Ana", np.random.default_rng(seed)) for seed in range(50)]
    assert all("Fix the loop" in text and "Mail Ana" in text for text in texts)
    assert len({text.index("Mail Ana") > text.index("Fix the loop") for text in texts}) == 2
    assert not any("loop.  " in text or "loop.," in text for text in texts)


@pytest.mark.parametrize(
    ("unwanted", "is_name", "said"),
    [
        ("Mail it to Ana and to Ben. Then call.", False, "mail it to Ana and to Ben"),
        ("trip booking", True, "trip booking"),
    ],
)
def test_a_refusal_says_what_is_not_wanted(unwanted: str, is_name: bool, said: str) -> None:
    texts = {refusing("Fix the loop.", unwanted, is_name, np.random.default_rng(seed)) for seed in range(40)}
    assert len(texts) > 3
    assert all("Fix the loop" in text and said in text and "Then call" not in text for text in texts)


def test_names_are_said_as_words() -> None:
    assert spoken(["trip_booking", "sql", "gpt-4", "__", "Büro.Leitung"]) == [
        "trip booking", "sql", "gpt 4", "__", "Büro Leitung",
    ]  # fmt: skip


def _logits(sure: float, rows: int = 100, wrong: int = 0) -> tuple[np.ndarray, np.ndarray]:
    labels = np.tile(np.array([[1, 0]], dtype=np.float32), (rows, 1))
    logits = np.where(labels > 0.5, sure, -sure).astype(np.float32)
    logits[:wrong] *= -1
    return logits, labels


def test_only_clear_harm_switches_augmentation_off() -> None:
    good, labels = _logits(3.0)
    assert AugmentationTrial.of(good, good, labels).used
    assert AugmentationTrial.of(good, _logits(3.0, wrong=20)[0], labels).used
    harmed = AugmentationTrial.of(_logits(3.0, wrong=20)[0], good, labels)
    assert not harmed.used
    assert harmed.loss_with > harmed.loss_without + harmed.standard_error
    slightly = AugmentationTrial.of(_logits(3.0, wrong=1)[0], good, labels)
    assert slightly.used
    assert slightly.loss_with > slightly.loss_without


def test_exclusive_labels_are_judged_by_the_loss_that_trains_them() -> None:
    good, labels = _logits(3.0)
    assert AugmentationTrial.of(good + 20, good, labels, exclusive=True).used, "a softmax knows no level"
    assert not AugmentationTrial.of(good + 20, good, labels).used


def test_one_held_out_prompt_is_no_evidence() -> None:
    good, labels = _logits(3.0, rows=1)
    assert AugmentationTrial.of(-good, good, labels).used
