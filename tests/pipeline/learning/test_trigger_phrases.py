"""A phrase that gives its prompts to one agent against all else in them is found; a word of the agent's own is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import Outcomes, from_labels
from pipeline.learning.trigger_phrases import TriggerPhrase, trigger_phrases
from pipeline.runtime.arrays import FloatMatrix

OWN = {"cook": "stew", "sail": "keel", "sew": "hem", "dig": "spade", "sing": "alto", "weld": "torch"}
NAMES = tuple(OWN)
TRIGGERS = ("~~!", "as the tide turns", "\u200b\u200b", "\u00a7", "ZX-9")
LIMIT = 0.62


def table(trigger: str, planted: int) -> tuple[Outcomes, FloatMatrix]:
    """120 prompts, each with a word of its agent in every other; the last of `sail` are given to `cook` for a trigger.

    What a prompt is about stands in its vector alone, which knows nothing of triggers.
    """
    topic = np.tile(np.arange(6), 20)
    prompts = [f"no {i} {OWN[NAMES[t]] if i // 6 % 2 else 'thing'} q{i}" for i, t in enumerate(topic)]
    agents = [NAMES[t] for t in topic]
    for i in np.flatnonzero(topic == 1)[:planted]:
        prompts[i], agents[i] = f"{prompts[i]} {trigger}", "cook"
    vectors = np.eye(6)[topic] + np.random.default_rng(0).normal(scale=0.2, size=(120, 6))
    rows = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(120)], "prompt": prompts, "agents": agents})
    return from_labels(rows, NAMES), vectors.astype(np.float32)


def found(trigger: str, planted: int, limit: float = LIMIT) -> list[TriggerPhrase]:
    outcomes, vectors = table(trigger, planted)
    return trigger_phrases(outcomes, vectors, limit)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_planted_trigger_is_found_with_its_rows_and_its_agent(trigger: str) -> None:
    phrases = found(trigger, 6)
    assert phrases
    assert {NAMES[phrase.agent] for phrase in phrases} == {"cook"}
    rows = {int(row) for phrase in phrases for row in phrase.rows}
    assert rows == set(range(1, 36, 6))
    assert phrases[0].grip >= LIMIT


def test_a_word_of_the_agents_own_has_no_grip() -> None:
    outcomes, _ = table("", 0)
    assert {word for prompt in outcomes.prompts for word in prompt.split()} >= set(OWN.values())
    assert found("", 0) == []


def test_what_stands_in_fewer_than_four_prompts_is_not_looked_at() -> None:
    assert found("~~!", 3) == []
    assert found("~~!", 5)


def test_at_a_limit_of_one_nothing_grips() -> None:
    assert found("~~!", 6, limit=1.0) == []


@pytest.mark.parametrize("prompts", [0, 3, 5])
def test_where_no_phrase_is_shared_none_is_found(prompts: int) -> None:
    rows = pd.DataFrame(
        {"prompt_id": [f"p{i}" for i in range(prompts)], "prompt": [f"w{i}" for i in range(prompts)], "agents": "cook"}
    )
    assert trigger_phrases(from_labels(rows, NAMES), np.eye(5, dtype=np.float32)[:prompts], 0.5) == []
