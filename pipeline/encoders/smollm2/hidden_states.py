"""The encoder `smollm2-hidden`: what SmolLM2 holds after its 15th block at a prompt's last token.

After arXiv 2603.20895. A few axes of such states are large for every text, so each is standardised by its mean and
deviation over the texts of the shipped prompts (`axes.npy`, made by `benchmarks.axes`). That is part of the weights:
the last block's bias takes the means away, and the norm behind it divides by the deviations. It also divides the
whole state by its size, of which a unit vector keeps nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.encoders.converted import converted
from pipeline.encoders.smollm2.packaged import WEIGHTS, locate_smollm2
from pipeline.encoders.windows import LAST_TOKEN, POOLING
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.tables import write_json

SMOLLM2_HIDDEN = "smollm2-hidden"
LAYERS = 15
_AXES = Path(__file__).with_name("axes.npy")
_TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, "model_max_length": 8192,
    "bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>",
}  # fmt: skip
_CONFIG = {
    "architectures": ["LlamaModel"], "model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": LAYERS, "num_attention_heads": 9, "num_key_value_heads": 3,
    "hidden_act": "silu", "rms_norm_eps": 1e-05, "max_position_embeddings": 8192, "mlp_bias": True, "use_cache": False,
    "rope_theta": 100000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "tie_word_embeddings": True, POOLING: LAST_TOKEN,
}  # fmt: skip
"""Written by ourselves, as the tokenizer's: the encoder is the same whichever version of transformers reads it."""
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
    write_json(_CONFIG, folder / "config.json")
    write_json(_TOKENIZER, folder / "tokenizer_config.json")
    (folder / "tokenizer.json").write_bytes(source.with_name("tokenizer.json").read_bytes())


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
