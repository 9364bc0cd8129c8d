"""Means and deviations of SmolLM2's hidden state over the shipped prompts, for the encoder `smollm2-hidden`.

python -m benchmarks.axes pipeline/encoders/smollm2/axes.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.data.dataset import DATASET
from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.smollm2.hidden_states import LAYERS
from pipeline.encoders.smollm2.packaged import SMOLLM2
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import read_table


def axes() -> FloatMatrix:
    """Means, then deviations, of each axis: float32 [2, width]."""
    import torch

    tokenizer, model = load_causal(SMOLLM2, "--axes")
    states = []
    for prompt in tqdm(read_table(Path(DATASET))["prompt"], unit="prompt", disable=None):
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            read = model(ids, output_hidden_states=True, logits_to_keep=1, use_cache=False)
        states.append(read.hidden_states[LAYERS][0, -1].numpy())
    return np.stack([np.mean(states, axis=0), np.std(states, axis=0)]).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.axes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    np.save(parser.parse_args().file, axes())
