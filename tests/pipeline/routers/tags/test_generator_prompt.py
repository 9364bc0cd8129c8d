"""A template that belongs to a model: read as data, asked word for word in the chat form, kept with the router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sandbox import ROOT
from tiny_encoders import save_tiny_qwen2

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.tags.generator import TagGenerator
from pipeline.routers.tags.generator_prompt import PromptTemplate, read_template
from pipeline.routers.tags.router import FACTS, TagsScorer
from pipeline.runtime.errors import InputError, VerificationFailed

pytestmark = pytest.mark.usefixtures("one_thread")
WRITTEN = """
system: You label requests.
user: |-
  [System]
  Write {"tags": [...]}, no more.

  [User Query]
  {query}
new_tokens: 7
"""
GOLDEN = """<|im_start|>system
You label requests.<|im_end|>
<|im_start|>user
[System]
Write {"tags": [...]}, no more.

[User Query]
Mend {query} and "{this}"<|im_end|>
<|im_start|>assistant
"""
WITHOUT_SYSTEM = """<|im_start|>user
Tags of: a poem<|im_end|>
<|im_start|>assistant
"""


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("qwen2") / "tiny")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text(WRITTEN, encoding="utf-8")
    return tmp_path / "template.yaml"


def _read_by(model: TagGenerator, prompt: str) -> str:
    """What the model reads, word for word."""
    text: str = model.writer.loaded()[0].decode(model.writer.ids(prompt))
    return text


def test_the_model_reads_the_template_word_for_word_and_no_examples(qwen2: Path, template: Path) -> None:
    model = TagGenerator(str(qwen2), read_template(template))
    assert _read_by(model, 'Mend {query} and "{this}"') == GOLDEN
    assert model.new_tokens == 7
    bare = TagGenerator(str(qwen2), PromptTemplate(user="Tags of: {query}", new_tokens=1))
    assert _read_by(bare, "a poem") == WITHOUT_SYSTEM


def test_answers_are_greedy_up_to_the_templates_length(qwen2: Path, template: Path) -> None:
    model = TagGenerator(str(qwen2), read_template(template))
    (found,) = model.write(["a poem"])
    assert found
    assert found == TagGenerator(str(qwen2), read_template(template)).write(["a poem"])[0]
    tokenizer, network = model.writer.loaded()
    assert str(network.dtype) == "torch.float32", "whatever its files hold"
    ids = model.writer.ids("a poem")
    for _ in range(7):
        import torch

        with torch.no_grad():
            ids.append(int(network(torch.tensor([ids])).logits[0, -1].argmax()))
    assert found == tokenizer.decode(ids[-7:], skip_special_tokens=True).strip()


def test_an_answer_by_a_template_may_have_empty_lines(qwen2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TagGenerator(str(qwen2), PromptTemplate(user="{query}", new_tokens=3))
    tokenizer = model.writer.loaded()[0]
    answer = 'Here they are:\n\n["law"]'
    monkeypatch.setattr(type(tokenizer), "batch_decode", lambda *_, **__: [answer])  # a random model writes no JSON
    assert model.tags(["x"]) == [("law",)]
    assert TagGenerator(str(qwen2), new_tokens=3).write(["x"]) == ["Here they are:"]


@pytest.mark.parametrize(("chat", "told"), [
    (None, r"has no chat template, .* name another in tags\.generator, or set tags\.prompt to own"),
    ("{{ raise_exception('no system role') }}", r"refuses the messages of tags\.prompt \(no system role\)"),
])  # fmt: skip
def test_a_model_that_cannot_be_told_so_is_one_clear_line(
    chat: str | None, told: str, template: Path, tmp_path: Path
) -> None:
    model = TagGenerator(str(save_tiny_qwen2(tmp_path / "other", chat)), read_template(template))
    with pytest.raises(InputError, match=told) as caught:
        model.tags(["x"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("written", "told"), [
    ("user: tags\nnew_tokens: 5", r"template\.user: holds \{query\} 0 times; write it once"),
    ("user: '{query} {query}'\nnew_tokens: 5", r"holds \{query\} 2 times"),
    ("user: '{query}'", r"template\.new_tokens: field required"),
    ("user: '{query}'\nnew_tokens: 0", r"template\.new_tokens: .*greater than or equal to 1"),
    ("user: '{query}'\nnew_tokens: 9999", r"template\.new_tokens: .*less than or equal to 4096"),
    (f"user: '{{query}} {'x ' * 10_000}'\nnew_tokens: 5", r"template\.user: .*at most 20000 characters"),
    (f"user: '{{query}}'\nsystem: {'x ' * 10_001}x\nnew_tokens: 5", r"template\.system: .*at most 20000 characters"),
    ("user: '{query}'\nnew_tokens: 5\nsytem: x", r"unknown key 'template\.sytem'; did you mean 'system'"),
    ("user: '{query}'\nuser: '{query}'", r"is not YAML \('user' stands twice"),
    ("user: !!python/object/apply:os.getcwd []", "is not YAML"),
    ("- user", "is no mapping; it has the keys system, user, new_tokens"),
    ("", "is no mapping"),
])  # fmt: skip
def test_a_file_that_is_no_template_is_one_clear_line(written: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=told) as caught:
        read_template(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_a_template_that_is_not_there_is_said_before_anything_is_learnt(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.yaml"
    with pytest.raises(InputError, match=r"nothing\.yaml of tags\.prompt cannot be read .*; name another file, or own"):
        TagGenerator.asked_for(TagsParams(generator="x", prompt=str(missing)))
    with pytest.raises(ValueError, match="generator names no model to ask by it"):
        TagsParams(prompt=str(missing))


def test_the_example_in_the_documents_is_a_template() -> None:
    assert read_template(ROOT / "docs/examples/tag-generator.yaml").new_tokens == 512


@pytest.fixture
def saved(qwen2: Path, template: Path, tiny_encoder: Path, tmp_path: Path) -> tuple[Path, Any]:
    """A router that was fitted with a template which is gone since, and what it expected of two prompts."""
    prompts = tuple(f"{('mend a loop', 'write a poem')[i % 2]} number {i}" for i in range(12))
    quality = np.random.default_rng(0).integers(0, 2, (12, 2)).astype(np.float32)
    outcomes = Outcomes(prompts, prompts, ("a", "b"), quality, np.full((12, 2), np.nan, np.float32), is_labels=False)
    params = TagsParams(
        generator=str(qwen2), prompt=str(template), least_prompts=1, clusters=(2,), surface=False
    )  # fmt: skip
    router = CalibratedRouter(TagsScorer(FrozenEmbedding(str(tiny_encoder), 24), 1, params))
    router.fit(outcomes, make_folds(outcomes, 2, 1))
    router.save(tmp_path / "router")
    template.unlink()
    return tmp_path / "router", router.predict(["mend the planets", "a new poem"]).quality


def test_a_saved_router_answers_the_same_without_the_templates_file(saved: tuple[Path, Any]) -> None:
    again = open_router(saved[0])
    assert again.predict(["mend the planets", "a new poem"]).quality.tobytes() == saved[1].tobytes()
    assert isinstance(again.scorer, TagsScorer)
    assert again.scorer.generator is not None
    assert (again.scorer.generator.new_tokens, again.scorer.generator.template is None) == (7, False)
    facts = json.loads((saved[0] / FACTS).read_text(encoding="utf-8"))
    assert facts["prompt"]["system"] == "You label requests."


def test_a_router_of_the_release_before_opens_and_another_model_is_refused(saved: tuple[Path, Any]) -> None:
    path = saved[0] / FACTS
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**facts, "generator_identity": "sha256:" + "0" * 64}), encoding="utf-8")
    with pytest.raises(VerificationFailed, match=r"written by the language model sha256:0000.*, and '.*' is sha256:"):
        open_router(saved[0]).predict(["a poem"])
    del facts["generator_identity"], facts["prompt"]
    path.write_text(json.dumps({**facts, "cache": "somewhere"}), encoding="utf-8")
    assert open_router(saved[0]).predict(["a poem"]).quality.shape == (1, 2)
