"""The benchmark of languages: what is translated, and that a router is judged on each language."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.languages import ENGLISH, Asked, lines


def test_every_translation_is_of_a_prompt_that_routers_do_not_learn_from() -> None:
    asked = Asked.read()
    assert set(asked.train.prompts).isdisjoint(asked.prompts)
    counts = Counter(asked.languages)
    assert counts.pop(ENGLISH) == 35
    assert min(counts.values()) >= 11
    assert len(set(asked.prompts)) == len(asked.prompts)
    english = asked.truth[:35][np.argsort(asked.origin[:35])]
    assert (english[asked.origin] == asked.truth).all()


def test_who_knows_english_alone_loses_everything_elsewhere() -> None:
    asked = Asked.read()
    only_english = asked.truth & (np.array(asked.languages) == ENGLISH)[:, None]
    told = list(lines(asked, {"all": asked.truth, "English alone": only_english}))
    assert told[2].startswith("| English | 35 | 1.000 (1.000 to 1.000) | 1.000")
    assert told[-2].startswith("| all but English | 70 | 1.000 (1.000 to 1.000) | .000")
    assert told[-1] == "| minus English |  | +.000 (+.000 to +.000) | -1.000 (-1.000 to -1.000) |"
