"""The published models that params.yaml names: who has a part, which bytes they are, and that they are pinned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox import ROOT
from tiny_encoders import save_tiny_qwen2

from pipeline.runtime.errors import InputError, ParamsError
from pipeline.runtime.track import AGENTS, MODELS, TRACKS, Track
from pipeline.versions.base_models import base_models, identities
from pipeline.versions.provenance import (
    CAPABILITY_ENCODER,
    ENCODER,
    LANGUAGE_MODEL,
    PROMPT_TEMPLATE,
    TAG_GENERATOR,
)

COMMIT = "4f2c" * 10
HUB = f"someone/model@{COMMIT}"
TEMPLATE = "user: '{query}'\nnew_tokens: 5\n"


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen2(tmp_path_factory.mktemp("qwen2") / "tiny")


def _written(folder: Path, train: Mapping[str, Any], track: Track = AGENTS, **others: Any) -> Path:
    """A params.yaml whose track trains so, and whose other track names models that are nobody's."""
    sections = {"train": dict(train), **others}
    strange = {"train": {"router": "tags", "encoder": "strange", "tags": {"generator": "strange"}}}
    content = {**sections, "models": strange} if track is AGENTS else {**strange, "models": sections}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder / "params.yaml"


TAGS = {"router": "tags", "encoder": "minilm", "tags": {"generator": HUB, "prompt": "template.yaml"}}
FULL = {"variant": "full", "language_model": HUB, "capability_encoder": f"someone/encoder@{COMMIT}"}


@pytest.mark.parametrize("track", TRACKS.values(), ids=TRACKS)
@pytest.mark.parametrize(("train", "roles"), [
    (TAGS, {TAG_GENERATOR, PROMPT_TEMPLATE}),
    ({**TAGS, "router": "knn"}, set()),
    ({"router": "tags"}, set()),
    ({"router": "aptitude", "aptitude": FULL}, {LANGUAGE_MODEL, CAPABILITY_ENCODER}),
    ({"router": "aptitude", "aptitude": {**FULL, "variant": "lean"}}, set()),
    ({"router": "aptitude"}, set()),
    ({"router": "tasks", "tasks": {"descriptions": HUB}}, {LANGUAGE_MODEL}),
    ({"router": "tasks"}, set()),
])  # fmt: skip
def test_those_that_the_router_reads_prompts_by_are_named(
    tmp_path: Path, track: Track, train: dict[str, Any], roles: set[str]
) -> None:
    found = base_models(_written(tmp_path, train, track), track)
    assert {one.role for one in found} == roles | {ENCODER}
    assert [one.name for one in found if one.role == ENCODER] == ["minilm"]
    assert all(one.setting.startswith(f"{track.section}train.") for one in found)
    assert "strange" not in {one.name for one in found}


def test_each_encoder_of_a_section_is_named_once(tmp_path: Path) -> None:
    path = _written(tmp_path, {"encoder": HUB}, evaluate={"encoder": "minilm"}, augment={"encoder": "minilm"})
    assert [one.name for one in base_models(path, AGENTS)] == ["minilm", HUB]


def test_materials_are_digests_of_files_and_pinned_revisions(tmp_path: Path, qwen2: Path, tiny_encoder: Path) -> None:
    tags = {"generator": str(qwen2), "prompt": "template.yaml"}
    path = _written(tmp_path, {**TAGS, "encoder": str(tiny_encoder), "tags": tags})
    found = {(m.role, m.name): m.digest for one in base_models(path, AGENTS) for m in one.materials()}
    assert {role for role, _ in found} == {ENCODER, TAG_GENERATOR, PROMPT_TEMPLATE}
    assert len(found[(TAG_GENERATOR, f"{qwen2}/model.safetensors")]["sha256"]) == 64
    assert len(found[(PROMPT_TEMPLATE, "template.yaml")]["sha256"]) == 64
    path = _written(tmp_path, {"router": "aptitude", "encoder": HUB, "aptitude": FULL})
    found = {(m.role, m.name): m.digest for one in base_models(path, AGENTS) for m in one.materials()}
    assert found == {
        (ENCODER, "someone/model"): {"gitCommit": COMMIT},
        (LANGUAGE_MODEL, "someone/model"): {"gitCommit": COMMIT},
        (CAPABILITY_ENCODER, "someone/encoder"): {"gitCommit": COMMIT},
    }


def test_other_weights_or_another_template_are_another_identity_and_another_place_is_not(
    tmp_path: Path, qwen2: Path
) -> None:
    train = {**TAGS, "tags": {"generator": str(qwen2), "prompt": "template.yaml"}}
    path = _written(tmp_path / "one", train)
    before = identities(path, AGENTS)
    assert identities(_written(tmp_path / "another", train), AGENTS) == before
    (path.parent / "template.yaml").write_text(TEMPLATE + "system: otherwise\n")
    changed = identities(path, AGENTS)
    with (qwen2 / "config.json").open("a") as file:
        file.write(" ")
    assert len({before, changed, identities(path, AGENTS)}) == 3


@pytest.mark.parametrize(
    "name", ["someone/model", "someone/model@main", "someone/model@v1.0", "someone/model@20240115"]
)
@pytest.mark.parametrize(("train", "setting"), [
    ({"router": "knn", "encoder": "NAME"}, "encoder"),
    ({"router": "tags", "tags": {"generator": "NAME"}}, "tags.generator"),
    ({"router": "aptitude", "aptitude": {**FULL, "language_model": "NAME"}}, "aptitude.language_model"),
    ({"router": "aptitude", "aptitude": {**FULL, "capability_encoder": "NAME"}}, "aptitude.capability_encoder"),
])  # fmt: skip
def test_what_a_hub_may_change_under_its_name_is_refused_in_one_line(
    tmp_path: Path, name: str, train: dict[str, Any], setting: str
) -> None:
    path = _written(tmp_path, yaml.safe_load(yaml.safe_dump(train).replace("NAME", name)))
    with pytest.raises(InputError, match=f"in train.{setting}$") as caught:
        identities(path, AGENTS)
    assert "is not pinned" in str(caught.value)
    assert "write someone/model@<commit>" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_no_template_and_an_unknown_key_are_said(tmp_path: Path) -> None:
    path = _written(tmp_path, TAGS)
    (tmp_path / "template.yaml").unlink()
    with pytest.raises(InputError, match=r"template\.yaml of tags\.prompt cannot be read"):
        identities(path, AGENTS)
    with pytest.raises(ParamsError, match=r"unknown key 'models\.train\.tags\.cache'"):
        base_models(_written(tmp_path, {**TAGS, "tags": {"cache": "x"}}, MODELS), MODELS)


@pytest.mark.parametrize("track", TRACKS.values(), ids=TRACKS)
def test_what_is_committed_is_what_a_night_of_the_shipped_settings_writes(track: Track) -> None:
    assert (ROOT / track.base_models).read_text(encoding="utf-8") == identities(ROOT / "params.yaml", track)
