"""Tags that a language model writes: the same again, in batches, as its template asks, a tiny model all the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.router import TagsScorer
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ("count the apples", "translate a poem", "fix this loop", "a longer question about planets and their moons")


def test_a_model_writes_the_same_again_in_batches_and_tells_its_progress(tiny_causal: Path) -> None:
    told: list[str] = []
    model = TagGenerator(str(tiny_causal), new_tokens=6)
    prompts = [f"{prompt} {i}" for i in range(3) for prompt in PROMPTS]
    found = model.tags(prompts, told.append)
    assert told == ["tags written for 8 of 12 prompts", "tags written for 12 of 12 prompts"]
    assert len(found) == 12
    assert model.tags(prompts[:2], told.append) == found[:2]
    assert len(told) == 2, "what was written is remembered"
    once = model._written.bytes
    model._written.put("another", "x" * model._written.most)
    assert model._written.bytes <= once, "and no more than so many bytes of it"
    assert model.tags(prompts) == found
    assert TagGenerator(str(tiny_causal), new_tokens=6).tags(prompts) == found


def test_padding_does_not_change_what_is_written(tiny_causal: Path) -> None:
    model = TagGenerator(str(tiny_causal), new_tokens=6)
    together = model.write(PROMPTS)
    assert any(together)
    assert together == [text for prompt in PROMPTS for text in model.write([prompt])]


def test_a_long_prompt_keeps_its_two_ends(tiny_causal: Path) -> None:
    model = TagGenerator(str(tiny_causal), max_tokens=10)
    text = model.writer.loaded()[0].decode(model.writer.ids("begin " + "middle " * 400 + "end"))
    assert "begin" in text.split("[ request ]")[-1]
    assert "end" in text.split("[ request ]")[-1]
    assert text.split("[ request ]")[-1].count("middle") == 8


def test_a_model_without_a_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; name another in tags\.generator"):
        TagGenerator(str(tmp_path / "nothing")).tags(["x"])
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be loaded .*; name another in tags\.generator"):
        TagGenerator(str(tmp_path)).tags(["x"])


def test_a_router_with_a_generator_end_to_end(tiny_causal: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = 12
    prompts = tuple(f"{PROMPTS[i % 4]} number {i}" for i in range(rows))
    quality = np.random.default_rng(0).integers(0, 2, (rows, 2)).astype(np.float32)
    outcomes = Outcomes(prompts, prompts, ("a", "b"), quality, np.full((rows, 2), np.nan, np.float32), is_labels=False)
    params = TagsParams(generator=str(tiny_causal), generated_tokens=3, least_prompts=1, clusters=(2,), surface=False)
    router = CalibratedRouter(TagsScorer(FrozenEmbedding(str(tiny_encoder), 24), 1, params))
    router.fit(outcomes, make_folds(outcomes, 2, 1))
    assert isinstance(router.scorer, TagsScorer)
    tagging = router.scorer._fitted()[0]
    assert [source.kind for source in tagging.sources] == ["cluster of 2", "generated"]
    assert tagging.sources[1].names
    before = router.predict(["count the planets", *prompts[:2]]).quality
    router.save(tmp_path / "router")
    again = open_router(tmp_path / "router")
    assert again.predict(["count the planets", *prompts[:2]]).quality.tobytes() == before.tobytes()
