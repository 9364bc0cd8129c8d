"""Text encoders: how prompts become tokens, and how tokens become one vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.encoders.encoder_files import SETTING, told_of
from pipeline.encoders.encoder_files import locate as locate
from pipeline.encoders.pretrained import load_pretrained, require_positions
from pipeline.encoders.windows import LAST_TOKEN, MEAN, POOLING, ContextWindow, TextEncoder, Tokens
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.device import bf16_in_training

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH = 32
TOKENS_SETTING = "train.max_tokens"


class SentenceEncoder(TextEncoder):
    """A transformer with its tokenizer, in torch; a prompt's vector is the mean of its tokens (mean pooling), or its
    last token's, where the model's configuration asks for that.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.room = ContextWindow.measured(max_tokens, *self.ids(["", "a"]))
        self.width = int(model.config.hidden_size)
        self.pooling = getattr(model.config, POOLING, MEAN)
        self.trains_in_bf16 = False

    @classmethod
    def load(cls, name: str, max_tokens: int, setting: str = SETTING) -> SentenceEncoder:
        """Load by name or path, onto the device in use; `setting` is what an error names.

        Raises:
            InputError: the files cannot be found or are not an encoder's, or it cannot read so many tokens at once.
        """
        told = told_of(name)
        tokenizer, model = load_pretrained("AutoModel", locate(name, setting), told, setting)
        lower = f"lower {TOKENS_SETTING} to that, or " if setting == SETTING else ""
        require_positions(model, max_tokens, told, f"{lower}name another in {setting}")
        return cls(model, tokenizer, max_tokens)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        found: torch.device = self.model.device
        return found

    def ids(self, prompts: Sequence[str]) -> list[Tokens]:
        encoded: list[Tokens] = self.tokenizer(list(prompts), verbose=False)["input_ids"] if prompts else []
        return encoded

    def pooled(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        """The last layer's mean over a batch's real tokens, or its last one, as unit vectors: float32 [n, width] on the
        model's device.

        In bf16 while something is trained, where that is native (see `device.py`).
        """
        ids, mask = (part.to(self.device) for part in self.pad(tokens))
        in_training = self.trains_in_bf16 and torch.is_grad_enabled()
        with bf16_in_training(self.device) if in_training else nullcontext():
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        return pool_tokens(hidden, mask, self.pooling)

    def pad(self, tokens: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Right-pad to the batch's longest: token ids and mask, int64 [n, longest]."""
        longest = max(map(len, tokens))
        ids = torch.full((len(tokens), longest), int(self.tokenizer.pad_token_id or 0))
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(tokens):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            mask[row, : len(prompt)] = 1
        return ids, mask

    @torch.no_grad()
    def vectors(self, tokens: Sequence[Tokens]) -> FloatMatrix:
        vectors = np.zeros((len(tokens), self.width), dtype=np.float32)
        for batch in by_length(tokens, _BATCH):
            vectors[batch] = self.pooled([tokens[i] for i in batch]).cpu().numpy()
        return vectors


def pool_tokens(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Unit vectors [n, width] of hidden states [n, longest, width] whose real tokens a mask [n, longest] tells."""
    if pooling == LAST_TOKEN:
        mask = mask * (mask.cumsum(dim=1) == mask.sum(dim=1, keepdim=True))
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)


def by_length(tokens: Sequence[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of like length, so that little is padded."""
    order = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), row))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
