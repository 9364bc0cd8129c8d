"""What many prompts begin with is not what they ask."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.outcomes import Outcomes
from pipeline.data.shared_prefixes import readings_of, shared_prefixes, without_prefix
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.systems import new_router, open_router

EXAMPLES = "Answer the question. " + "".join(f"Q: what is {i} plus {i}? A: {2 * i}.\n" for i in range(12))
OTHER = "Choose the pronoun that fits. " + "".join(f"Sentence {i}: they saw it.\n" for i in range(12))


def _prompts() -> list[str]:
    asked = [f"{EXAMPLES}Q: who wrote book {i}?" for i in range(20)] + [
        f"{OTHER}Sentence: number {i}" for i in range(20)
    ]
    return [*asked, *(f"please translate letter {i} for {'Ana' * (i % 7)}" for i in range(60))]


def test_each_shared_beginning_is_found_to_its_last_line_end() -> None:
    assert set(shared_prefixes(_prompts())) == {EXAMPLES, OTHER}


@pytest.mark.parametrize(
    "prompts",
    [
        [],
        ["the same"] * 50,
        [EXAMPLES + str(i) for i in range(4)],
        [f"{EXAMPLES}{i}" for i in range(6)] + [f"other {i}" for i in range(200)],
    ],
    ids=["none", "one text many times", "fewer than five", "a share under 5 %"],
)
def test_what_few_share_is_left_alone(prompts: list[str]) -> None:
    assert shared_prefixes(prompts) == ()


def test_a_longer_beginning_inside_a_shorter_one_is_found_too() -> None:
    longer = EXAMPLES + "And now with reasons:\n" + "Because it is so, and so it was before.\n" * 4
    prompts = [f"{EXAMPLES}Q{i}: x{i}" for i in range(20)] + [f"{longer}Q{i}" for i in range(20)]
    found = shared_prefixes(prompts)
    assert EXAMPLES in found
    assert without_prefix(f"{longer}why?", found) == "why?"
    assert without_prefix(f"{EXAMPLES}why?", found) == "why?"


def test_each_text_that_is_read_in_the_place_of_a_prompt_is_known() -> None:
    prompts = _prompts()
    assert all(without_prefix(prompt, shared_prefixes(prompts)) in set(readings_of(prompt)) for prompt in prompts)
    assert set(readings_of(" a short one")) == {" a short one", "a short one"}


def test_a_prompt_that_is_nothing_but_the_beginning_stays() -> None:
    assert without_prefix(EXAMPLES, [EXAMPLES]) == EXAMPLES
    assert without_prefix("hello", [EXAMPLES]) == "hello"


def test_a_router_reads_what_follows_and_remembers_the_beginnings(tmp_path: object, tiny_encoder: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    prompts = tuple(_prompts())
    quality = np.array([[i % 2, 1 - i % 2] for i in range(len(prompts))], dtype=np.float32)
    ids = tuple(f"p{i}" for i in range(len(prompts)))
    outcomes = Outcomes(ids, prompts, ("a", "b"), quality, np.full_like(quality, np.nan), is_labels=False)
    router = new_router("linear", FinetuningParams(encoder=str(tiny_encoder), max_tokens=24), 0)
    router.fit(outcomes, np.arange(len(prompts)) % 3)
    assert set(router.prefixes) == {EXAMPLES, OTHER}
    asked = [EXAMPLES + "who sings?", "who sings?"]
    whole, bare = router.predict(asked).quality
    np.testing.assert_allclose(whole, bare, atol=1e-6)  # in fp32 a row of a matrix product may differ in the last bit
    router.save(tmp_path / "router")
    assert open_router(tmp_path / "router").predict(asked).quality.tobytes() == router.predict(asked).quality.tobytes()
