"""Models by their names on a hub: the revision that was named, no network where a folder or the cache has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_stub import Hub, serving
from sandbox import ROOT

from pipeline.encoders.sentence_encoder import SentenceEncoder

NAME, OLD, NEW = "someone/tiny", "a" * 40, "b" * 40
PINNED = f"{NAME}@{OLD}"
NEXT = "next-name"
"""What the other process asks the hub for after each name."""
ASK = """
import json, os, sys, urllib.error, urllib.request
from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.runtime.errors import InputError
found = {}
for name in sys.argv[2:]:
    try:
        if sys.argv[1] == "encoder":
            found[name] = SentenceEncoder.load(name, 16).embed(["mend the loop"])[0].tolist()
        else:
            found[name] = float(load_causal(name, "tags.generator")[1].get_input_embeddings().weight[0, 0])
    except InputError as error:
        found[name] = str(error)
    try:
        urllib.request.urlopen(os.environ["HF_ENDPOINT"] + "/next-name")
    except urllib.error.URLError:
        pass
print(json.dumps([found, "HF_HUB_OFFLINE" in os.environ]))
"""


@pytest.fixture(scope="module")
def hub(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Two revisions of an encoder: main has the first one's weights twice as large."""
    newer = tmp_path_factory.mktemp("hub") / "newer"
    encoder = SentenceEncoder.load(str(tiny_encoder), 16)
    encoder.model.transformer.layer[0].ffn.lin1.weight.data.mul_(3)
    encoder.model.save_pretrained(newer)
    encoder.tokenizer.save_pretrained(newer)
    with serving(Hub(NAME, {OLD: tiny_encoder, NEW: newer}, NEW)) as found:
        yield found


@dataclass(frozen=True)
class Answers:
    """What a process found under each name, whether it was then offline for good, and what the hub was asked."""

    found: dict[str, Any]
    offline: bool
    asked: list[str]
    home: Path


def _ask(kind: str, hub: Hub, home: Path, *names: str, **environment: str) -> Answers:
    before = len(hub.asked)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**inherited, "PYTHONPATH": paths, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", ASK, kind, *names], env=environment, capture_output=True, text=True, check=True
    )
    found, offline = json.loads(done.stdout.splitlines()[-1])
    return Answers(found, offline, hub.asked[before:], home)


@pytest.fixture(scope="module")
def first(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """One process that reads a folder, then the hub at a revision and at main, then what is not there."""
    home = tmp_path_factory.mktemp("home")
    names = [str(hub.revisions[OLD]), PINNED, NAME, f"{NAME}@nonsense", "someone/else", f"{NAME}@"]
    return _ask("encoder", hub, home, *names)


def _vector(folder: Path) -> list[float]:
    found: list[float] = SentenceEncoder.load(str(folder), 16).embed(["mend the loop"])[0].tolist()
    return found


def test_a_name_on_a_hub_is_read_at_its_revision_then_from_the_cache(hub: Hub, first: Answers) -> None:
    old, new = _vector(hub.revisions[OLD]), _vector(hub.revisions[NEW])
    assert not np.allclose(old, new, atol=1e-4)
    assert np.allclose(first.found[PINNED], old, atol=1e-6)
    assert np.allclose(first.found[NAME], new, atol=1e-6)
    assert {f"GET /{NAME}/resolve/{commit}/model.safetensors" for commit in (OLD, NEW)} <= set(first.asked)
    again = _ask("encoder", hub, first.home, PINNED, NAME, HF_HUB_OFFLINE="1")
    assert again.found == {name: first.found[name] for name in (PINNED, NAME)}
    assert [line for line in again.asked if NEXT not in line] == []


def test_a_hub_that_is_away_leaves_what_was_read_before(first: Answers, hub: Hub) -> None:
    away = _ask("encoder", hub, first.home, PINNED, "someone/else", HF_ENDPOINT="http://127.0.0.1:1")
    assert away.found[PINNED] == first.found[PINNED]
    assert "the encoder 'someone/else' cannot be loaded" in away.found["someone/else"]
    assert away.asked == []


def test_a_folder_asks_no_hub_and_leaves_the_next_name_its_own(hub: Hub, first: Answers) -> None:
    assert np.allclose(first.found[str(hub.revisions[OLD])], _vector(hub.revisions[OLD]), atol=1e-6)
    assert NEXT in first.asked[0]
    assert not first.offline


def test_what_a_hub_does_not_have_is_told_in_one_line(first: Answers) -> None:
    told = {name: first.found[name] for name in (f"{NAME}@nonsense", "someone/else", f"{NAME}@")}
    assert "nonsense is not a valid git identifier" in told[f"{NAME}@nonsense"]
    assert "not a valid model identifier" in told["someone/else"]
    assert f"'{NAME}@' lacks a revision after the @" in told[f"{NAME}@"]
    assert all("\n" not in line and "train.encoder" in line for line in told.values())


def test_a_language_model_is_read_at_its_revision_too(tiny_causal: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_causal)
    first = float(model.get_input_embeddings().weight[0, 0].detach())
    model.get_input_embeddings().weight.data[0, 0] = first + 1
    model.save_pretrained(tmp_path / "newer")
    AutoTokenizer.from_pretrained(tiny_causal).save_pretrained(tmp_path / "newer")
    with serving(Hub(NAME, {OLD: tiny_causal, NEW: tmp_path / "newer"}, NEW)) as hub:
        found = _ask("causal", hub, tmp_path / "home", PINNED, NAME, f"{NAME}@").found
    assert found[PINNED] == first
    assert found[NAME] == pytest.approx(first + 1)
    assert "name alone in tags.generator" in found[f"{NAME}@"]
