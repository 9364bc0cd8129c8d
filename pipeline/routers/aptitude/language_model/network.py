"""A causal language model that reads a capability and a prompt, and is asked whether the one can handle the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.chat_form import as_text, in_chat
from pipeline.encoders.greedy_writer import left_padded
from pipeline.encoders.pretrained import require_positions
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.encoders.windows import ContextWindow, Tokens
from pipeline.routers.aptitude.language_model.lora import adapt
from pipeline.routers.aptitude.language_model.soft_prompts import SoftPromptEncoder
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.device import bf16_in_training, bf16_on_gpu
from pipeline.runtime.errors import InputError

MODEL_SETTING = "aptitude.language_model"
TOKENS_SETTING = "aptitude.model_tokens"
ENCODER_SETTING = "aptitude.capability_encoder"
RANK = 8
_LINE_TOKENS = 128
_OPENING = "What a language model gets right:"
_REQUEST = "\nA request:\n"
_NEAREST = "On the tasks most like it this language model is:"
_QUESTION = "\nCan this language model handle the request? Answer Yes or No."
_PLACE = "\0"
"""Where a chat template is to put what is said."""


@dataclass(frozen=True)
class CachedPrefix:
    """A capability as the language model has read it: keys and values of each layer, [1, heads, tokens, width]."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    tokens: int

    def cache(self, prompts: int) -> Any:
        """For a batch of prompts, each of which follows this prefix."""
        from transformers import DynamicCache

        return DynamicCache([tuple(part.expand(prompts, -1, -1, -1) for part in layer) for layer in self.layers])


class ReaderNetwork(torch.nn.Module):
    """Encoder, connector and language model; only adapters, connector and encoder can be trained.

    A capability is read once, whatever the number of prompts that follow it, and a prompt's score depends on nothing
    else in the batch (Law), since padding is masked.
    """

    def __init__(self, params: AptitudeParams) -> None:
        """
        Raises:
            InputError: a model cannot be loaded, or cannot answer; the message names the setting.
        """
        super().__init__()
        tokenizer, model = load_causal(params.language_model, MODEL_SETTING)
        self.tokenizer = tokenizer
        self.told = f"the language model '{params.language_model}'"
        self.model = model
        self.adapters = torch.nn.ModuleList(adapt(self.model, params.language_model, MODEL_SETTING, RANK))
        self.embeddings = self.model.get_input_embeddings()
        encoder = SentenceEncoder.load(params.capability_encoder, _LINE_TOKENS, ENCODER_SETTING)
        size = float(self.embeddings.weight.norm(dim=1).mean())
        self.connector = SoftPromptEncoder(encoder, self.embeddings.weight.shape[1], size)
        self.room = ContextWindow(params.model_tokens, 0, 0)
        self.opening, closing, space = _form(tokenizer, self.told)
        self.question = self._ids(_QUESTION + closing)
        self.answers = [self._answer(closing, space + word) for word in ("Yes", "No")]
        self._lines: dict[str, Tokens] = {}
        if self.answers[0] == self.answers[1]:
            raise InputError(f"{self.told} has no tokens for Yes and No; name another in {MODEL_SETTING}")
        self.to(self.device)
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the language model computes."""
        found: torch.device = self.embeddings.weight.device
        return found

    def tokenize(self, prompts: Sequence[str]) -> list[Tokens]:
        """Each prompt whole, or its two ends; control tokens in it are text."""
        return [self.room.ends(self._ids(as_text(self.tokenizer, prompt))) for prompt in prompts]

    def asked(self, prompt: Tokens, nearest: Sequence[str]) -> Tokens:
        """What is read after a capability: the prompt, the candidate's lines of the tasks most like it, the question.

        These lines are words, so that what a candidate gets right on such prompts is what the model reads best.
        """
        if not nearest:
            return [*prompt, *self.question]
        lines = (token for line in (_NEAREST, *nearest) for token in self._line(line))
        return [*prompt, *lines, *self.question]

    def prefix(self, lines: Sequence[str]) -> CachedPrefix:
        """What is read before a prompt: a candidate's lines, one soft token each."""
        before = self._ids(self.opening + _OPENING)
        parts = [self._embedded(before), self.connector(lines), self._embedded(self._ids(_REQUEST))]
        with self._precision():
            read = self.model(inputs_embeds=torch.cat(parts)[None], use_cache=True, logits_to_keep=1).past_key_values
        layers = tuple((layer.keys, layer.values) for layer in read.layers)
        return CachedPrefix(layers, sum(map(len, parts)))

    def forward(self, prefix: CachedPrefix, tokens: Sequence[Tokens]) -> torch.Tensor:
        """The log-odds of Yes against No after each of n prompts, float32 [n].

        Raises:
            InputError: the model has no positions for so much; the message names the settings.
        """
        longest = max(map(len, tokens))
        remedy = f"lower {TOKENS_SETTING} or aptitude.tasks, or name another in {MODEL_SETTING}"
        require_positions(self.model, prefix.tokens + longest, self.told, remedy)
        ids, mask = left_padded(tokens)
        before = torch.ones(len(tokens), prefix.tokens, dtype=torch.int64)
        with self._precision():
            logits = (
                self.model(
                    input_ids=ids.to(self.device),
                    attention_mask=torch.cat([before, mask], dim=1).to(self.device),
                    position_ids=(prefix.tokens + mask.cumsum(dim=1) - 1).clamp(min=0).to(self.device),
                    past_key_values=prefix.cache(len(tokens)),
                    use_cache=True,
                    logits_to_keep=1,
                )
                .logits[:, -1]
                .float()
            )
        odds: torch.Tensor = logits[:, self.answers[0]] - logits[:, self.answers[1]]
        return odds

    def learn(self, everything: bool) -> None:
        """Train the connector alone, or with it the adapters and the encoder."""
        self.adapters.requires_grad_(False)
        for adapter in self.adapters:
            for matrix in (adapter.up, adapter.down):
                matrix.requires_grad_(everything)
        self.connector.layer.requires_grad_(True)
        self.connector.learn_lines(everything)

    def parts(self) -> dict[str, torch.nn.Parameter]:
        """What is being trained, by name."""
        return {name: part for name, part in self.named_parameters() if part.requires_grad}

    def trained(self) -> dict[str, torch.Tensor]:
        """All that training may have changed."""
        self.learn(everything=True)
        return {name: part.detach() for name, part in self.parts().items()}

    @torch.no_grad()
    def restore(self, trained: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `trained`."""
        self.learn(everything=True)
        for name, part in self.parts().items():
            part.copy_(trained[name])

    def _precision(self) -> AbstractContextManager[object]:
        """bf16 on a GPU, and in training where the processor computes it natively."""
        return (bf16_in_training if torch.is_grad_enabled() else bf16_on_gpu)(self.device)

    def _line(self, line: str) -> Tokens:
        if line not in self._lines:
            self._lines[line] = self._ids(as_text(self.tokenizer, "\n" + line))
        return self._lines[line]

    def _embedded(self, ids: Tokens) -> torch.Tensor:
        found: torch.Tensor = self.embeddings(torch.tensor(ids, device=self.device))
        return found

    def _ids(self, text: str) -> Tokens:
        ids: Tokens = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _answer(self, closing: str, word: str) -> int:
        """The first token that tells the question with this answer from the question alone."""
        answered = self._ids(_QUESTION + closing + word)
        asked = [*self.question, -1]
        return next((token for token, known in zip(answered, asked, strict=False) if token != known), -1)


def _form(tokenizer: Any, told: str) -> tuple[str, str, str]:
    """What stands before and after all that is said, by the model's own chat template, and between that and an answer.

    A model without one is asked to go on with a text.

    Raises:
        InputError: its chat template refuses what is said, or leaves it out.
    """
    if tokenizer.chat_template is None:
        return tokenizer.bos_token or "", "\nAnswer:", " "
    remedy = f"name another in {MODEL_SETTING}"
    shown = in_chat(tokenizer, [{"role": "user", "content": _PLACE}], told, "what it is asked", remedy)
    before, place, after = shown.partition(_PLACE)
    if not place:
        raise InputError(f"{told} has a chat template that leaves out what it is asked; {remedy}")
    return before, after, ""
