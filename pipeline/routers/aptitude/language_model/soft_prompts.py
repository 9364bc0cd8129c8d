"""Lines of a capability as soft tokens of a language model: an encoder, and a connector of one layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.encoders.sentence_encoder import SentenceEncoder

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
