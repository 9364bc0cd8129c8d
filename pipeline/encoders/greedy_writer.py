"""Short texts that a causal language model writes about prompts: greedily, so that a prompt gets the same again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.chat_form import as_text
from pipeline.runtime.device import bf16_on_gpu

if TYPE_CHECKING:
    import torch

_BATCH = 8
Told = Callable[[int, int], None]
Ask = Callable[[Any, str, str], str]
"""From a tokenizer, a prompt, and how errors call the model, to what the model reads."""


class GreedyWriter:
    """A causal language model by name or path, loaded when first asked.

    It reads what `ask` makes of a prompt. `setting` is what errors name; a prompt of more than `max_tokens` is read by
    its two ends; what is written ends after `new_tokens`.
    """

    def __init__(self, name: str, setting: str, ask: Ask, max_tokens: int = 256, new_tokens: int = 24) -> None:
        self.name, self.setting, self.ask = name, setting, ask
        self.max_tokens, self.new_tokens = max_tokens, new_tokens
        self.told = f"the language model '{name}'"
        self._loaded: tuple[Any, Any] | None = None

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def write(self, prompts: Sequence[str], told: Told | None = None) -> list[str]:
        """What is written after each prompt, maybe nothing; `told` is called once a batch.

        Raises:
            InputError: the model cannot be loaded, cannot be asked so, or has no positions for so much.
        """
        found = [""] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))  # so that little is padded
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            for row, text in zip(rows, self._batch([prompts[i] for i in rows]), strict=True):
                found[row] = text
            if told:
                told(start + len(rows), len(order))
        return found

    def ids(self, prompt: str) -> list[int]:
        """Token ids of what the model reads; control tokens in the prompt are text."""
        tokenizer, _ = self.loaded()
        query = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        if len(query) > self.max_tokens:
            half = self.max_tokens // 2
            prompt = tokenizer.decode(query[:half] + query[-half:])
        shown = self.ask(tokenizer, as_text(tokenizer, prompt), self.told)
        plain = tokenizer.chat_template is None
        ids: list[int] = tokenizer(shown, add_special_tokens=plain, verbose=False)["input_ids"]
        return ids

    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model.

        Raises:
            InputError: it cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = load_causal(self.name, self.setting)
        return self._loaded

    def _batch(self, prompts: Sequence[str]) -> list[str]:
        import torch

        from pipeline.encoders.pretrained import require_positions

        tokenizer, model = self.loaded()
        padding = int(tokenizer.pad_token_id or 0)
        ids, mask = left_padded([self.ids(prompt) for prompt in prompts], padding)
        require_positions(model, ids.shape[1] + self.new_tokens, self.told, f"name another in {self.setting}")
        with torch.no_grad(), bf16_on_gpu(model.device):
            written = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=self.new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=padding,
            )
        texts = tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in texts]


def left_padded(tokens: Sequence[Sequence[int]], padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 [n, longest], every prompt's end in the last column."""
    import torch

    longest = max(map(len, tokens))
    ids = torch.full((len(tokens), longest), padding)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(tokens):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
