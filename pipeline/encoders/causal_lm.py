"""Causal language models by name: where their files are, which model they are, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.encoders.encoder_files import DECISIVE, Place, identity_of, place_of
from pipeline.encoders.smollm2.packaged import SMOLLM2, WEIGHTS, locate_smollm2


def load_causal(name: str, setting: str) -> tuple[Any, Any]:
    """Tokenizer and model, by the name `smollm2`, a folder, or a hub name; the model is in evaluation mode.

    `setting` is what the caller's errors name. Torch's random numbers are left as they were, whatever loading draws.

    Raises:
        InputError: they cannot be found, or are not a causal language model's.
    """
    from pipeline.encoders.pretrained import load_pretrained

    place = locate_causal(name, setting)
    return load_pretrained("AutoModelForCausalLM", place, f"the language model '{name}'", setting)


def locate_causal(name: str, setting: str) -> Place:
    """The folder of a model, or its name and revision on the hub. A bundled one is converted first, once.

    Raises:
        InputError: the bundled package is not installed, or as `place_of`.
    """
    return (str(locate_smollm2(setting)), None) if name == SMOLLM2 else place_of(name, "language model", setting)


def causal_identity(name: str, setting: str, decisive: Sequence[str] = DECISIVE) -> str:
    """`sha256:...` of a model in files, as of an encoder; of one on a hub, its name.

    Of the bundled model the weights alone: what stands beside them is written anew by each version of transformers.

    Raises:
        InputError: as `locate_causal`.
    """
    return identity_of(locate_causal(name, setting), causal_patterns(name, decisive))


def causal_patterns(name: str, decisive: Sequence[str] = DECISIVE) -> Sequence[str]:
    """Which files in a model's folder say which model it is."""
    return (WEIGHTS,) if name == SMOLLM2 else decisive
