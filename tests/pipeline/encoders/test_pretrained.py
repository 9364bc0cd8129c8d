"""What is published under a name is loaded whole or refused in one line, and so is more than it has positions for."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny_encoders import BOUNDED, POSITIONS, UNBOUNDED, save_tiny, save_tiny_qwen2

from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.pretrained import positions
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.runtime.errors import InputError

LONG = "mend the loop " * 100


@pytest.mark.parametrize("name", BOUNDED)
def test_more_tokens_than_a_model_has_positions_for_are_refused(name: str, tmp_path: Path) -> None:
    folder = str(save_tiny(name, tmp_path / name))
    most = SentenceEncoder.load(folder, POSITIONS)
    assert np.isfinite(most.read([LONG]).vectors).all()
    told = f"has positions for {POSITIONS} tokens, and {POSITIONS + 1} are to be read at once; "
    with pytest.raises(InputError, match=told + r"lower train\.max_tokens to that, or name another in train\.encoder"):
        SentenceEncoder.load(folder, POSITIONS + 1)
    with pytest.raises(InputError, match=told + r"name another in label_noise\.encoder"):
        FrozenEmbedding(folder, POSITIONS + 1, "label_noise.encoder").loaded()


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_model_of_relative_positions_reads_as_much_as_is_asked_for(name: str, tmp_path: Path) -> None:
    encoder = SentenceEncoder.load(str(save_tiny(name, tmp_path / name)), 3 * POSITIONS)
    assert np.isfinite(encoder.embed([LONG])).all()


def test_positions_of_other_families() -> None:
    """A table with rows in front (OPT), one longer than what is read of it (Nyströmformer), and none at all (Llama)."""
    from transformers import LlamaConfig, LlamaModel, NystromformerConfig, NystromformerModel, OPTConfig, OPTModel

    small = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
    }
    assert positions(OPTModel(OPTConfig(**small, ffn_dim=16, word_embed_proj_dim=16))) == 40
    assert positions(NystromformerModel(NystromformerConfig(**small, intermediate_size=16))) == 40
    assert positions(LlamaModel(LlamaConfig(**small, intermediate_size=16))) is None


def _without(*files: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in files] and None


def _of_another(file: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        shutil.copy(save_tiny("roberta", folder / "other") / file, folder / file)

    return spoil


def _holding(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(content) and None


def _encoder_and_decoder(folder: Path) -> None:
    from transformers import T5Config, T5Model

    T5Model(T5Config(vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).save_pretrained(folder)


def _told_in_config(**said: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | said))

    return spoil


def _not_a_number(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _weights_elsewhere(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, "../outside.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _no_unknown_token(folder: Path) -> None:
    path = folder / "tokenizer.json"
    backend = json.loads(path.read_text())
    backend["model"]["vocab"]["[ELSE]"] = backend["model"]["vocab"].pop("[UNK]")
    backend["added_tokens"] = [token for token in backend["added_tokens"] if token["content"] != "[UNK]"]
    path.write_text(json.dumps(backend))
    (folder / "tokenizer_config.json").unlink()


FAULTS = {
    "no weights": (_without("model.safetensors"), "cannot be loaded"),
    "damaged weights": (_holding("model.safetensors", b"x" * 40), "cannot be loaded"),
    "weights of another architecture": (
        _of_another("model.safetensors"),
        r"its files lack \d+ of the weights that its config.json asks for, such as",
    ),
    "no configuration": (_without("config.json"), "cannot be loaded"),
    "no tokenizer": (_without("tokenizer.json", "tokenizer_config.json"), "it has no tokenizer that can be read here"),
    "an empty tokenizer": (_holding("tokenizer.json", b"{}"), "cannot be loaded"),
    "the tokenizer of another": (_of_another("tokenizer.json"), r"gives ids up to \d+, and the model knows \d+ tokens"),
    "weights that are no numbers": (_not_a_number, "its weights hold what is no finite number, such as in "),
    "weights outside of the folder": (_weights_elsewhere, r"names weights outside of the folder, \.\./outside"),
    "fewer layers than there are": (
        _told_in_config(n_layers=1),
        r"its files hold \d+ weights of layers that its config.json leaves out, such as transformer\.layer\.1\.",
    ),
    "a pooling that is not known": (_told_in_config(switchtender_pooling="max"), "says switchtender_pooling 'max'"),
    "no token for what is unknown": (_no_unknown_token, r"cannot be loaded \(.*\[UNK\]"),
    "an encoder with a decoder": (_encoder_and_decoder, "it is an encoder with a decoder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_whole_encoder_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    folder = save_tiny("distilbert", tmp_path / "encoder")
    spoil, told = FAULTS[fault]
    spoil(folder)
    with pytest.raises(
        InputError, match=f"the encoder '.*' .*{told}.*; name another in aptitude.capability_encoder"
    ) as caught:
        SentenceEncoder.load(str(folder), 16, "aptitude.capability_encoder")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("sentencepiece") is not None, reason="it can be read then")
def test_a_sentencepiece_file_alone_says_what_reads_it(tmp_path: Path) -> None:
    folder = save_tiny("deberta-v3", tmp_path / "encoder")
    _without("tokenizer.json", "tokenizer_config.json")(folder)
    (folder / "spm.model").write_bytes(b"\n\x0e\n\x05[PAD]")
    with pytest.raises(InputError, match=r"cannot be loaded .*needs 'pip install sentencepiece'\); name another in"):
        SentenceEncoder.load(str(folder), 16)


def test_a_layer_that_nothing_reads_may_be_missing(tmp_path: Path) -> None:
    """Checkpoints of masked language models have no pooler; it is made at random, from nobody's random numbers."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = save_tiny("bert", tmp_path / "bert")
    BertForMaskedLM(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = SentenceEncoder.load(str(folder), 16)
    assert torch.equal(torch.rand(3), expected)
    assert first.embed(["mend"]).tobytes() == SentenceEncoder.load(str(folder), 16).embed(["mend"]).tobytes()


def test_a_language_model_without_its_weights_is_refused(tiny_causal: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_causal, tmp_path / "causal"))
    _of_another("model.safetensors")(folder)
    with pytest.raises(InputError, match=r"the language model '.*such as .*name another in tags\.generator"):
        load_causal(str(folder), "tags.generator")


@pytest.mark.parametrize("kind", ["encoder", "language model"])
def test_code_that_comes_with_a_model_is_not_run(tiny_causal: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(tiny_causal, tmp_path / "copy"))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {f"Auto{part}": "own.Own" for part in ("Config", "Model")}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    told = (
        f"the {kind} '.*' cannot be loaded .it asks for code of its own, by trust_remote_code, and such code is never"
    )
    with pytest.raises(InputError, match=told):
        SentenceEncoder.load(str(folder), 16) if kind == "encoder" else load_causal(str(folder), "tags.generator")
    assert not (tmp_path / "ran").exists()


def test_weights_are_in_fp32_whatever_they_are_stored_in(tmp_path: Path) -> None:
    assert str(load_causal(str(save_tiny_qwen2(tmp_path / "tiny")), "tags.generator")[1].dtype) == "torch.float32"
