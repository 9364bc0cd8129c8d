"""Short texts that a causal language model writes about prompts: greedily, so that a prompt gets the same again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.encoders.causal_lm import load_causal
from pipeline.runtime.device import bf16_on_gpu

if TYPE_CHECKING:
    import torch

_BATCH = 8
Told = Callable[[int, int], None]


class GreedyWriter:
    """A causal language model by name or path, loaded when first asked.

    It reads a role, examples (asked, answered) and a prompt put into `query`, in its own chat form if it has one: small
    models answer a prompt unless they were shown what is wanted of it, and its answer was begun by an `opening`.
    `setting` is what errors name; a prompt of more than `max_tokens` is read by its two ends; what is written ends
    after `new_tokens`, or with the line.
    """

    def __init__(
        self, name: str, setting: str, role: str, query: str, opening: str, examples: Sequence[tuple[str, str]],
        max_tokens: int = 256, new_tokens: int = 24,
    ) -> None:  # fmt: skip
        self.name, self.setting = name, setting
        self.role, self.query, self.opening = role, query, opening
        self.examples = [(asked, f"{opening} {answer}") for asked, answer in examples]
        self.max_tokens, self.new_tokens = max_tokens, new_tokens
        self._loaded: tuple[Any, Any] | None = None

    def write(self, prompts: Sequence[str], told: Told | None = None) -> list[str]:
        """What is written of each prompt after the opening, one line, maybe empty; `told` is called once a batch.

        Raises:
            InputError: the model cannot be loaded, or has no positions for so much.
        """
        found = [""] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            for row, text in zip(rows, self._batch([prompts[i] for i in rows]), strict=True):
                found[row] = text
            if told:
                told(start + len(rows), len(order))
        return found

    def _batch(self, prompts: Sequence[str]) -> list[str]:
        import torch

        from pipeline.encoders.pretrained import require_positions

        tokenizer, model = self._model()
        padding = int(tokenizer.pad_token_id or 0)
        ids, mask = _left_padded([self._ids(prompt) for prompt in prompts], padding)
        told = f"the language model '{self.name}'"
        require_positions(model, ids.shape[1] + self.new_tokens, told, f"name another in {self.setting}")
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
        return [text.strip().split("\n")[0].strip() for text in texts]

    def _ids(self, prompt: str) -> list[int]:
        tokenizer, _ = self._model()
        query = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        if len(query) > self.max_tokens:
            half = self.max_tokens // 2
            query = query[:half] + query[-half:]
        shown = self._shown(tokenizer, tokenizer.decode(query))
        plain = tokenizer.chat_template is None
        ids: list[int] = tokenizer(shown, add_special_tokens=plain, verbose=False)["input_ids"]
        return ids

    def _shown(self, tokenizer: Any, prompt: str) -> str:
        asked = [self.query.replace("{}", text) for text, _ in self.examples] + [self.query.replace("{}", prompt)]
        asked[0] = self.role + asked[0]
        answers = [answer for _, answer in self.examples]
        if tokenizer.chat_template is None:
            return "\n".join(
                [*(f"{text} {said}" for text, said in zip(asked, answers, strict=False)), f"{asked[-1]} {self.opening}"]
            )
        chat = []
        for text, said in zip(asked, answers, strict=False):
            chat += [{"role": "user", "content": text}, {"role": "assistant", "content": said}]
        chat.append({"role": "user", "content": asked[-1]})
        shown: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return shown + self.opening

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = load_causal(self.name, self.setting)
        return self._loaded


def _left_padded(tokens: Sequence[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 [n, longest], every prompt's end in the last column."""
    import torch

    longest = max(map(len, tokens))
    ids = torch.full((len(tokens), longest), padding)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(tokens):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
