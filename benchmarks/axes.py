"""Means and deviations of SmolLM2's hidden state over the shipped prompts, for the encoder `smollm2-hidden`.

    python -m benchmarks.axes pipeline/encoders/smollm2/axes.npy

Of a prompt of more than 160 tokens both ends are read, as in `benchmarks.signals`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.signals import token_ids
from pipeline.data.dataset import DATASET
from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.smollm2.hidden_states import LAYERS
from pipeline.encoders.smollm2.packaged import SMOLLM2
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import read_table


def axes() -> FloatMatrix:
    """Means, then deviations, of each axis: float32 [2, width]."""
    import torch

    torch.set_num_threads(1)  # two wait for each other on one prompt at a time
    tokenizer, whole = load_causal(SMOLLM2, "the encoder's axes")
    model, states = whole.model, []
    model.layers, model.norm = model.layers[:LAYERS], torch.nn.Identity()
    for prompt in tqdm(read_table(Path(DATASET))["prompt"], unit="prompt", disable=None):
        ids = torch.tensor([token_ids(tokenizer, prompt)])
        with torch.no_grad():
            states.append(model(input_ids=ids, use_cache=False).last_hidden_state[0, -1].numpy())
    return np.stack([np.mean(states, axis=0), np.std(states, axis=0)]).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.axes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    np.save(parser.parse_args().file, axes())
