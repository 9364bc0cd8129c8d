"""A causal language model that reads a capability and a prompt, and is asked whether the one can handle the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.encoders.causal_lm import load_causal
from pipeline.encoders.pretrained import require_positions
from pipeline.encoders.sentence_encoder import SentenceEncoder
from pipeline.encoders.windows import ContextWindow, Tokens
from pipeline.routers.base.settings import AptitudeParams
from pipeline.runtime.device import bf16_on_gpu
from pipeline.runtime.errors import InputError

MODEL_SETTING = "aptitude.language_model"
TOKENS_SETTING = "aptitude.model_tokens"
ENCODER_SETTING = "aptitude.capability_encoder"
RANK = 8
_LINE_TOKENS = 128
_OPENING = "What a language model gets right:"
_REQUEST = "\nA request:\n"
_QUESTION = "\nCan this language model handle the request? Answer Yes or No.\nAnswer:"


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
        self.model = model.float()
        self.adapters = torch.nn.ModuleList(adapt(self.model, params.language_model, MODEL_SETTING, RANK))
        self.embeddings = self.model.get_input_embeddings()
        encoder = SentenceEncoder.load(params.capability_encoder, _LINE_TOKENS, ENCODER_SETTING)
        size = float(self.embeddings.weight.norm(dim=1).mean())
        self.connector = SoftPromptEncoder(encoder, self.embeddings.weight.shape[1], size)
        self.room = ContextWindow(params.model_tokens, 0, 0)
        self.question = self._ids(_QUESTION)
        self.answers = [self._answer(word) for word in (" Yes", " No")]
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
        """Each prompt whole, or its two ends, and the question."""
        return [self.room.ends(self._ids(prompt)) + self.question for prompt in prompts]

    def prefix(self, lines: Sequence[str]) -> CachedPrefix:
        """What is read before a prompt: a candidate's lines, one soft token each."""
        bos = self.tokenizer.bos_token_id
        before = [*([] if bos is None else [int(bos)]), *self._ids(_OPENING)]
        parts = [self._embedded(before), self.connector(lines), self._embedded(self._ids(_REQUEST))]
        with bf16_on_gpu(self.device):
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
        ids = torch.zeros((len(tokens), longest), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(tokens):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        before = torch.ones(len(tokens), prefix.tokens, dtype=torch.int64)
        with bf16_on_gpu(self.device):
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

    def _embedded(self, ids: Tokens) -> torch.Tensor:
        found: torch.Tensor = self.embeddings(torch.tensor(ids, device=self.device))
        return found

    def _ids(self, text: str) -> Tokens:
        ids: Tokens = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _answer(self, word: str) -> int:
        """The first token that tells the question with this answer from the question alone."""
        answered = self._ids(_QUESTION + word)
        asked = [*self.question, -1]
        return next((token for token, known in zip(answered, asked, strict=False) if token != known), -1)


class LoraProjection(torch.nn.Module):
    """A frozen projection plus a product of two thin matrices, which starts at zero."""

    def __init__(self, frozen: torch.nn.Module, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.down = torch.nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = torch.nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.frozen(hidden)
        return found + hidden @ self.down.T @ self.up.T


def adapt(model: torch.nn.Module, name: str, setting: str, rank: int) -> list[LoraProjection]:
    """Freeze a model and put adapters on every projection of its attention blocks.

    Raises:
        InputError: it has none that could be found; the message names the model and the `setting` that gave it.
    """
    model.requires_grad_(False)
    adapters = []
    for path, parent in list(model.named_modules()):
        if "attn" not in path.lower() and "attention" not in path.lower():
            continue
        for child, module in list(parent.named_children()):
            if (shape := _shape(module)) is not None:
                adapters.append(LoraProjection(module, *shape, rank))
                setattr(parent, child, adapters[-1])
    if not adapters:
        raise InputError(f"the language model '{name}' has no attention to adapt; name another in {setting}")
    return adapters


def _shape(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a projection; None where a module is none. `Conv1D` is GPT-2's, stored transposed."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


_KNOWN = 20_000
"""So many lines' vectors are kept while the encoder is not trained; 50 tasks x 101 percentages fit."""


class SoftPromptEncoder(torch.nn.Module):
    """An encoder of lines and one linear layer to a language model's width.

    `size` is the mean length of that model's own token embeddings, which soft tokens start with.
    """

    def __init__(self, encoder: SentenceEncoder, width: int, size: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.body = encoder.model
        self.layer = torch.nn.Linear(encoder.width, width)
        torch.nn.init.normal_(self.layer.weight, std=size / width**0.5)
        torch.nn.init.zeros_(self.layer.bias)
        self._known: dict[str, torch.Tensor] = {}
        self.learn_lines(False)

    def forward(self, lines: Sequence[str]) -> torch.Tensor:
        """Soft tokens float32 [lines, width]."""
        if not lines:
            return self.layer.weight.new_zeros(0, self.layer.out_features)
        soft: torch.Tensor = self.layer(self._vectors(lines))
        return soft

    def learn_lines(self, learn: bool) -> None:
        """Whether the encoder is trained too; its word embeddings stay, of which a few lines touch a sliver."""
        self._known.clear()
        self.body.requires_grad_(learn)
        self.body.get_input_embeddings().requires_grad_(False)

    def _vectors(self, lines: Sequence[str]) -> torch.Tensor:
        """Unit vectors float32 [lines, encoder's width]."""
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.body.parameters()):
            return self.encoder.pooled(self.encoder.tokenize(lines))
        new = list(dict.fromkeys(line for line in lines if line not in self._known))
        if len(self._known) + len(new) > _KNOWN:
            self._known.clear()
            new = list(dict.fromkeys(lines))
        if new:
            self._known.update(zip(new, torch.from_numpy(self.encoder.embed(new)), strict=True))
        return torch.stack([self._known[line] for line in lines]).to(self.layer.weight.device)
