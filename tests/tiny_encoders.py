"""Small random encoders of the architectures that people name, each with a small tokenizer of its own kind; a Qwen2.

The Llama reads as an encoder of hidden states does: by its last token.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pipeline.encoders.windows import LAST_TOKEN, POOLING

POSITIONS = 64
"""Tokens for which a model with a table of positions has rows."""
BOUNDED = ("bert", "distilbert", "roberta", "albert", "mpnet", "xlm-roberta", "electra")
UNBOUNDED = ("deberta", "deberta-v2", "deberta-v3", "modernbert", "llama")
ARCHITECTURES = BOUNDED + UNBOUNDED
_TEXTS = (
    "mend the loop in this function, case 1", "write a mail to Ana about the ferry at nine", "an invoice of 40 euro",
    "translate the contract into German", "plan a trip to Ostend", "select all orders from the table", "naïve façade",
)  # fmt: skip
_BLOCKS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_RELATIVE = {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0}
_DEBERTA = {**_BLOCKS, **_RELATIVE, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "position_buckets": 16,
            "norm_rel_ebd": "layer_norm", "max_position_embeddings": POSITIONS}  # fmt: skip


def save_tiny(name: str, folder: Path) -> Path:
    """Write an architecture's random weights and its tokenizer, as `save_pretrained` would from a hub's."""
    import torch
    import transformers

    kind, settings, tokenizer, special = _made(name)
    made = getattr(transformers, f"{kind}Config")(vocab_size=tokenizer.get_vocab_size(), **settings)
    torch.manual_seed(0)
    getattr(transformers, f"{kind}Model")(made).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The chat form of Qwen2, without the system message that it has of its own."""


def save_tiny_qwen2(folder: Path, chat_template: str | None = CHAT) -> Path:
    """Write a random Qwen2 of two thin layers in bf16, as the family is published, with a tokenizer of bytes."""
    import torch
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=_byte_pairs(), pad_token="<pad>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"], chat_template=chat_template,
    )  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, initializer_range=0.3, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _made(name: str) -> tuple[str, dict[str, Any], Any, dict[str, str]]:
    """The class in transformers, its settings, a tokenizer, and the names of its special tokens."""
    bert, roberta = {"pad_token": "[PAD]", "unk_token": "[UNK]"}, {"pad_token": "<pad>", "unk_token": "<unk>"}
    rows, beyond_padding = {"max_position_embeddings": POSITIONS}, {"max_position_embeddings": POSITIONS + 2}
    albert = _unigram("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
    deberta = _unigram("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
    local = {"local_attention": 8, "global_attn_every_n_layers": 2, "pad_token_id": 0, "cls_token_id": 2,
             "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}  # fmt: skip
    thin = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    return {
        "bert": ("Bert", {**_BLOCKS, **rows}, _wordpiece(), bert),
        "distilbert": ("DistilBert", {**thin, **rows}, _wordpiece(), bert),
        "electra": ("Electra", {**_BLOCKS, **rows, "embedding_size": 16}, _wordpiece(), bert),
        "modernbert": ("ModernBert", {**_BLOCKS, **rows, **local}, _wordpiece(), bert),
        "roberta": ("Roberta", {**_BLOCKS, **beyond_padding}, _byte_pairs(), roberta),
        "mpnet": ("MPNet", {**_BLOCKS, **beyond_padding, "pad_token_id": 1}, _byte_pairs(), roberta),
        "deberta": ("Deberta", {**_BLOCKS, **_RELATIVE, **rows, "pos_att_type": "c2p|p2c"}, _byte_pairs(), roberta),
        "xlm-roberta": (
            "XLMRoberta", {**_BLOCKS, **beyond_padding}, _unigram("<s>", "<pad>", "</s>", "<unk>", "<mask>"), roberta,
        ),
        "albert": (
            "Albert", {**_BLOCKS, **rows, "embedding_size": 16}, albert, {"pad_token": "<pad>", "unk_token": "<unk>"},
        ),
        "deberta-v2": ("DebertaV2", {**_DEBERTA, "conv_kernel_size": 3, "conv_act": "gelu"}, deberta, bert),
        "deberta-v3": ("DebertaV2", _DEBERTA, deberta, bert),
        "llama": ("Llama", {**_BLOCKS, "use_cache": False, POOLING: LAST_TOKEN}, _byte_pairs(), roberta),
    }[name]  # fmt: skip


@cache
def _wordpiece() -> Any:
    """BERT's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(_TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


@cache
def _byte_pairs() -> Any:
    """RoBERTa's: bytes, merged, between <s> and </s>, padded by the token 1."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    made.train_from_iterator(_TEXTS, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made


@cache
def _unigram(*special: str) -> Any:
    """SentencePiece's, as ALBERT, DeBERTa and XLM-R have it: the beginning and the end of a text are special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    first, last = ("[CLS]", "[SEP]") if "[CLS]" in special else ("<s>", "</s>")
    unknown = next(token for token in special if "unk" in token.lower())
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=list(special), unk_token=unknown)
    made.train_from_iterator(_TEXTS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B {last}",
        special_tokens=[(token, made.token_to_id(token)) for token in (first, last)],
    )
    return made
