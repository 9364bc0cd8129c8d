"""The encoder `smollm2-hidden`: what SmolLM2 holds after its 15th block at a prompt's last token.

After arXiv 2603.20895. A few axes of such states are large for every text, so each is standardised by its mean and
deviation over texts of several kinds (`axes.npy`, made by `benchmarks.signals`). That is part of the weights: the last
block's bias takes the means away, and the norm behind it divides by the deviations. It also divides the whole state by
its size, of which a unit vector keeps nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.encoders.converted import converted
from pipeline.encoders.smollm2.packaged import WEIGHTS, locate_smollm2
from pipeline.encoders.windows import LAST_TOKEN, POOLING
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import read_json, write_json

SMOLLM2_HIDDEN = "smollm2-hidden"
LAYERS = 15
_AXES = Path(__file__).with_name("axes.npy")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_FORM = 1
Tensors = dict[str, FloatMatrix]


def locate_hidden_states(setting: str) -> Path:
    """The encoder's folder, made once from the language model's; `setting` is what an error names.

    Raises:
        InputError: as `locate_smollm2`.
    """
    return converted(SMOLLM2_HIDDEN, locate_smollm2(setting) / WEIGHTS, _FORM, _write)


def _write(source: Path, folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder.mkdir()
    save_file(standardised(_first_blocks(load_file(source)), *np.load(_AXES)), folder / WEIGHTS, {"format": "pt"})
    config = read_json(source.with_name("config.json")) | {
        "architectures": ["LlamaModel"],
        "num_hidden_layers": LAYERS,
        "mlp_bias": True,
        "use_cache": False,
        POOLING: LAST_TOKEN,
    }
    del config["transformers_version"]  # the same encoder, whichever version writes it
    write_json(config, folder / "config.json")
    for name in _TOKENIZER:
        (folder / name).write_bytes(source.with_name(name).read_bytes())


def _first_blocks(tensors: Tensors) -> Tensors:
    """Without the head of the language model, and without the blocks after LAYERS."""
    own = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    return {
        name: tensor
        for name, tensor in own.items()
        if not name.startswith("layers.") or int(name.split(".")[1]) < LAYERS
    }


def standardised(tensors: Tensors, means: FloatMatrix, deviations: FloatMatrix) -> Tensors:
    """A Llama's tensors, with biases in its blocks, such that its last state minus means, over deviations, comes out.

    Up to a factor a state. Both are float32 [width].
    """
    blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("layers."))
    made = dict(tensors)
    for block in range(blocks):
        for part in ("gate_proj", "up_proj", "down_proj"):
            name = f"layers.{block}.mlp.{part}"
            made[f"{name}.bias"] = np.zeros(len(tensors[f"{name}.weight"]), dtype=np.float32)
    made[f"layers.{blocks - 1}.mlp.down_proj.bias"] = -means
    made["norm.weight"] = np.asarray(1 / deviations, dtype=np.float32)
    return made
