"""Text encoders: how prompts become tokens, and how tokens become one vector."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline.encoders.encoder_files import SETTING
from pipeline.encoders.encoder_files import locate as locate
from pipeline.encoders.windows import ContextWindow, TextEncoder, Tokens
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH = 32


class SentenceEncoder(TextEncoder):
    """A transformer with its tokenizer, in torch; a prompt's vector is the mean of its tokens (mean pooling)."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.room = ContextWindow.measured(max_tokens, *self.ids(["", "a"]))
        self.width = int(model.config.hidden_size)

    @classmethod
    def load(cls, name: str, max_tokens: int, setting: str = SETTING, **overrides: Any) -> SentenceEncoder:
        """Load by name or path; `overrides` go to the model's configuration (dropout rates, say).

        `setting` is what an error names.

        Raises:
            InputError: the files cannot be found or are not an encoder's.
        """
        folder, revision = locate(name, setting)
        if Path(folder).is_dir():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as hub_logging

        hub_logging.set_verbosity_error()
        hub_logging.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, revision=revision)
            model = AutoModel.from_pretrained(
                folder, revision=revision, dtype=torch.float32, use_safetensors=True, **overrides
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"the encoder '{name}' cannot be loaded ({reason}); name another in {setting}") from error
        model.eval()
        return cls(model, tokenizer, max_tokens)

    def ids(self, prompts: Sequence[str]) -> list[Tokens]:
        encoded: list[Tokens] = self.tokenizer(list(prompts), verbose=False)["input_ids"] if prompts else []
        return encoded

    def pooled(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        """Mean of the last layer over a batch's real tokens, as unit vectors: float32 [n, width]."""
        ids, mask = self.pad(tokens)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        return torch.nn.functional.normalize(mean, dim=-1)

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
            vectors[batch] = self.pooled([tokens[i] for i in batch]).numpy()
        return vectors


def by_length(tokens: Sequence[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of like length, so that little is padded."""
    order = sorted(range(len(tokens)), key=lambda row: (len(tokens[row]), row))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
