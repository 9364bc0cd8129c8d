"""A published tokenizer and model, out of a folder or from the hub: loaded whole, or refused in one line."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from pipeline.encoders.encoder_files import Place
from pipeline.encoders.windows import LAST_TOKEN, MEAN, POOLING
from pipeline.runtime.device import device
from pipeline.runtime.errors import InputError, one_line

_UNREAD = "pooler"
"""A layer that many checkpoints lack; nothing here reads it."""
_FOREIGN_CODE = "it asks for code of its own, by trust_remote_code, and such code is never run"
_POSITIONS = ("position_embeddings", "embed_positions", "wpe")
"""What transformers call a learnt table of positions."""
_NUMBER = re.compile(r"\b\d+\b")
_UNKNOWN = "\U00010000"
"""A letter of Linear B, which no vocabulary has: a tokenizer that needs a token for it and lacks that one fails."""


def load_pretrained(kind: str, place: Place, told: str, setting: str) -> tuple[Any, Any]:
    """Tokenizer and model in evaluation mode, on the device in use; a folder is loaded without any network.

    `kind` is the class of transformers that knows the model; `told` is how an error calls it, `the encoder 'x'`, and
    `setting` where it was named. Where no hub answers, what it gave before is read from its cache. Weights are in fp32
    whatever they are stored in, and code that comes with them is never run. Torch's random numbers are left as they
    were, whatever loading draws.

    Raises:
        InputError: the files cannot be found, are damaged, or are not those of such a model and its tokenizer.
    """
    import transformers

    silence()
    folder, revision = place
    here = Path(folder).is_dir() or not _hub_answers()
    source = {"revision": revision, "local_files_only": here, "trust_remote_code": False}
    try:
        _require_shards_inside(Path(folder))
        whole = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        with torch.random.fork_rng(devices=()):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **source)
            loads = getattr(transformers, kind).from_pretrained
            model, found = loads(folder, dtype=torch.float32, **source, **whole)
        reason = _fault(tokenizer, model, found)
    except Exception as error:  # transformers, tokenizers and safetensors raise their own, plain and built-in ones
        reason = _FOREIGN_CODE if "trust_remote_code" in str(error) else one_line(error, 160) + _lacking_package(error)
        raise InputError(f"{told} cannot be loaded ({reason}); name another in {setting}") from error
    if reason:
        raise InputError(f"{told} cannot be used: {reason}; name another in {setting}")
    model.eval()
    return tokenizer, model.to(device())


def _hub_answers() -> bool:
    """Asked once: whoever loads a file asks a hub that is away again and again, for most of a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:  # of the HTTP library, whichever it is, or HF_HUB_OFFLINE is set
        return False
    return True


def _require_shards_inside(folder: Path) -> None:
    """A folder's digest is over its own files, so an index must not name weights elsewhere; raises ValueError."""
    for index in folder.glob("*.safetensors.index.json"):
        for shard in set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()):
            if Path(shard).name != shard:
                raise ValueError(f"{index.name} names weights outside of the folder, {shard}")


def _lacking_package(error: Exception) -> str:
    """How a message goes on where what failed is a SentencePiece file without the library that reads it."""
    if not re.search(r"\.model\b", str(error)) or importlib.util.find_spec("sentencepiece"):
        return ""
    return "; without a tokenizer.json its SentencePiece file needs 'pip install sentencepiece'"


def _fault(tokenizer: Any, model: Any, found: dict[str, Any]) -> str:
    """Why what was loaded is no whole model; transformers fill in at random what is missing, and say nothing."""
    unlike = {str(name[0]) if isinstance(name, tuple) else str(name) for name in found["mismatched_keys"]}
    lacking = sorted(name for name in {*found["missing_keys"], *unlike} if _UNREAD not in name.split("."))
    if lacking:
        return f"its files lack {len(lacking)} of the weights that its config.json asks for, such as {lacking[0]}"
    if model.config.is_encoder_decoder:
        return "it is an encoder with a decoder"
    if (pooling := getattr(model.config, POOLING, MEAN)) not in (MEAN, LAST_TOKEN):
        return f"its config.json says {POOLING} {pooling!r}, and known are {MEAN!r} and {LAST_TOKEN!r}"
    return _faulty_weights(model, found["unexpected_keys"]) or _faulty_tokens(tokenizer, model)


def _faulty_weights(model: Any, unexpected: Iterable[str]) -> str:
    weights = dict(model.named_parameters())
    if damaged := sorted(name for name, weight in weights.items() if not torch.isfinite(weight).all()):
        return f"its weights hold what is no finite number, such as in {damaged[0]}"
    layers = {_NUMBER.sub("*", name) for name in weights if _NUMBER.search(name)}
    # A checkpoint may be of the whole model where the weights are of its base: `bert.encoder.…`, `encoder.…`.
    beyond = sorted(name for name in unexpected if any(_NUMBER.sub("*", name).endswith(layer) for layer in layers))
    return (
        f"its files hold {len(beyond)} weights of layers that its config.json leaves out, such as {beyond[0]}"
        if beyond
        else ""
    )


def _faulty_tokens(tokenizer: Any, model: Any) -> str:
    words = tokenizer.get_vocab()
    for special in tokenizer.all_special_tokens:
        words.pop(special, None)
    if len(words) < 2:
        return "it has no tokenizer that can be read here (best a tokenizer.json)"
    used = max([*words.values(), *tokenizer("")["input_ids"], *tokenizer(_UNKNOWN)["input_ids"]])
    rows = int(model.get_input_embeddings().weight.shape[0])
    return f"its tokenizer gives ids up to {used}, and the model knows {rows} tokens" if used >= rows else ""


def require_positions(model: Any, tokens: int, told: str, remedy: str) -> None:
    """Refuse to read more at once than a model has positions for.

    Raises:
        InputError: it has fewer; the message ends with the `remedy`.
    """
    limit = positions(model)
    if limit is not None and tokens > limit:
        raise InputError(f"{told} has positions for {limit} tokens, and {tokens} are to be read at once; {remedy}")


def positions(model: Any) -> int | None:
    """How many tokens a model can read at once; None where nothing bounds it, as with relative positions.

    Of a learnt table the rows up to its padding index stand for no position (RoBERTa has 514 rows for 512 tokens).
    """
    tables = [
        module.num_embeddings - (module.padding_idx + 1 if module.padding_idx is not None else 0)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding) and name.rpartition(".")[2] in _POSITIONS
    ]
    said = getattr(model.config, "max_position_embeddings", None)
    return min([*tables, *([said] if said else [])]) if tables else None


def silence() -> None:
    """No progress bars and no warnings of transformers; what matters is raised here. Nor does it ask anybody on the
    internet to convert a repository without safetensors.
    """
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    from transformers.utils import logging as hub_logging

    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
