"""Fixtures that several suites share; each is made once a session."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sandbox import Sandbox, copy_project, make_tiny
from second_night import SecondNight, change_and_retrain
from threadpoolctl import threadpool_limits

from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.calibrated import CalibratedRouter

# How long an example takes says how busy the machine is.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what shares the tiny project's nights: it runs in one process, all else in another (see the Makefile)."""
    for item in items:
        if "tiny_project" in getattr(item, "fixturenames", ()):
            item.add_marker("nights")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Vectors that verbs remember stay with the tests, which share them."""
    os.environ["SWITCHTENDER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a flow sets for the libraries that it imports stays in its own test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch and for linear algebra: on data as small as a test's a second one only costs time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random DistilBERT of two thin layers with the bundled tokenizer: real loading code, no download."""
    import torch
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    from pipeline.encoders.sentence_encoder import locate

    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(locate("minilm")[0])
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two thin layers with the bundled tokenizer: real loading and generation, no download."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from pipeline.encoders.sentence_encoder import locate

    folder = tmp_path_factory.mktemp("causal") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(locate("minilm")[0])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=None, bos_token_id=None,
        initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def minilm() -> FrozenEmbedding:
    """The bundled encoder, which remembers each text from test to test."""
    return FrozenEmbedding("minilm", 256)


@pytest.fixture(scope="session")
def prefect_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server that nights share, as those of a team do: each of its own takes ten seconds to start."""
    from flows.night.prefect_server import serving
    from flows.workspace.project import Project

    before = dict(os.environ)
    with serving(Project(tmp_path_factory.mktemp("prefect"))) as address:
        os.environ.clear()
        os.environ.update(before)
        yield address
        os.environ["PREFECT_API_URL"] = address


@pytest.fixture
def own_prefect(prefect_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """That server, as one that keeps the project's own database."""
    with urllib.request.urlopen(f"{prefect_address}/admin/settings", timeout=30) as answer:
        monkeypatch.setenv("PREFECT_HOME", json.load(answer)["home"])
    return prefect_address


@pytest.fixture(scope="session")
def tiny_project(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prefect_address: str) -> Sandbox:
    """A project whose nights take under a minute, in a path with a space, on a detached HEAD."""
    sandbox = copy_project(tmp_path_factory.mktemp("tiny") / "a project", prefect_address)
    make_tiny(sandbox, tiny_encoder)
    return sandbox


@pytest.fixture(scope="session")
def first_night(tiny_project: Sandbox) -> dict[str, Any]:
    """What the tiny project's first night printed; it had a Prefect server of its own, as a user's night has."""
    return replace(tiny_project, prefect="").night()


@pytest.fixture(scope="session")
def second_night(
    tiny_project: Sandbox, first_night: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> SecondNight:
    """A person changed the tiny project's data, and a second night ran; a copy of that state is kept."""
    return change_and_retrain(tiny_project, first_night, tmp_path_factory.mktemp("kept") / "two versions")


@pytest.fixture(scope="session")
def two_versions(second_night: SecondNight) -> Iterator[Sandbox]:
    """The project after two nights, version 1 in service; copy it before damaging it.

    Whatever tests do in copies (replay, promote, erase, prune, nights), not a byte of it may change.
    """
    before = second_night.kept.digest()
    yield second_night.kept
    assert second_night.kept.digest() == before, "a copy acted on the project that it was copied from"


@pytest.fixture(scope="session")
def full_night(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A project as shipped after its first night: the one full training of the test run."""
    sandbox = copy_project(tmp_path_factory.mktemp("full") / "project")
    assert sandbox.night()["verdict"] == "passed"
    return sandbox


@pytest.fixture(scope="session")
def trained_router(full_night: Sandbox) -> CalibratedRouter:
    """The router of the full night."""
    from pipeline.routers.systems import open_router

    return open_router(next(full_night.root.glob("var/runs/*/clone/var/stages/train/router")))
