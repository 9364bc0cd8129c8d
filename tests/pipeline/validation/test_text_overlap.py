"""A held-out prompt is found in another one, dressed up or disguised; what many prompts share is not one."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.runtime.text import skeleton
from pipeline.validation import text_overlap
from pipeline.validation.text_overlap import holdout_overlap

HELD_OUT = [
    "The till of the museum shop loses card payments after noon, find the bug in the receipt code.",
    "Which ferry from Gdansk takes a van over 2.5 metres in October, and what does a cabin cost?",
    "gist of lease.pdf",
]
TRAIN = [
    "Write a limerick about a goat that ate the mayor's hat at the spring fair.",
    "Plot the water level of the reservoir by week and tell me whether the drop is more than chance.",
    "Translate the label on this jar of pickled plums into Danish, and keep it short enough for a sticker.",
]
LIMIT = 0.6


def _slip(text: str) -> str:
    """A letter doubled in every fourth word."""
    return " ".join(word[:2] + word[1:] if place % 4 == 0 else word for place, word in enumerate(text.split()))


DISGUISES = {
    "as it is": lambda text: text,
    "behind a paragraph": lambda text: f"{TRAIN[1]}\n\n{text}",
    "before a paragraph": lambda text: f"{text}\n\n{TRAIN[2]} {TRAIN[0]}",
    "after a greeting": lambda text: f"Good morning, I hope this finds you well! {text} Many thanks in advance.",
    "with typos": _slip,
    "in Cyrillic letters": lambda text: text.translate(str.maketrans("aeopcxyis", "аеорсхуіѕ")),
    "in Greek letters": lambda text: text.translate(str.maketrans("oai", "οαι")),
    "with accents": lambda text: text.translate(str.maketrans("aeiou", "àéîöû")),
    "in digits": lambda text: text.translate(str.maketrans("oeas", "0345")),
    "in capitals, spaced out": lambda text: " ".join(text.upper()),
    "with characters of no width": lambda text: "\u200b".join(text),
    "with other punctuation": lambda text: text.replace(" ", " - ").replace(",", "..."),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_held_out_prompt_is_found(disguise: str) -> None:
    prompts = [*TRAIN, *(DISGUISES[disguise](text) for text in HELD_OUT[:2])]
    rows, shares = holdout_overlap(prompts, HELD_OUT)
    assert rows[len(TRAIN) :].tolist() == [0, 1]
    assert (shares[len(TRAIN) :] >= LIMIT).all()
    assert (shares[: len(TRAIN)] < LIMIT / 2).all()


def test_a_short_phrase_is_looked_for_in_short_prompts_only() -> None:
    prompts = ["The gist of lease.pdf and of the other two contracts, on one page", "Gist of 1ease.pdf!"]
    _, shares = holdout_overlap(prompts, HELD_OUT)
    assert shares[0] < LIMIT <= shares[1]


def test_what_many_prompts_share_says_nothing() -> None:
    instruction = "Answer with one letter, A, B, C or D, and with nothing else, not even a reason. Question: "
    train, held_out = [instruction + text for text in TRAIN], [instruction + text for text in HELD_OUT]
    assert holdout_overlap(train, held_out)[1].max() < LIMIT


def test_where_there_is_nothing_to_compare_nothing_is_held() -> None:
    for prompts, held_out in ((TRAIN, []), ([], HELD_OUT), (TRAIN, ["?!", "hm"]), (["...", "ab"], HELD_OUT)):
        rows, shares = holdout_overlap(prompts, held_out)
        assert rows.tolist() == [-1] * len(prompts)
        assert shares.tolist() == [0.0] * len(prompts)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [*TRAIN, *HELD_OUT, *(f"{text} {other}" for text in TRAIN for other in HELD_OUT)]
    whole = holdout_overlap(prompts, HELD_OUT)
    monkeypatch.setattr(text_overlap, "_BLOCK", 4)
    for piece, all_at_once in zip(holdout_overlap(prompts, HELD_OUT), whole, strict=True):
        assert np.array_equal(piece, all_at_once)


def test_a_skeleton_is_what_is_left_of_a_text_to_the_eye() -> None:
    assert skeleton("Ｃafé,\u200b nо. 1") == skeleton("cafe no l") == "cafenol"
