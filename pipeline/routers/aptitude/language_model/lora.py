"""Low-rank adapters on a frozen language model (LoRA, arXiv 2106.09685): what the full variant trains of it."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.runtime.errors import InputError

_ADAPTED = ("attn", "attention", "mlp", "feed_forward", "ffn")
"""What transformers call the blocks whose projections get adapters: attention and MLP."""


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
    """Freeze a model and put adapters on every projection of its attention and MLP blocks.

    Raises:
        InputError: it has none that could be found; the message names the model and the `setting` that gave it.
    """
    model.requires_grad_(False)
    adapters = []
    for path, parent in list(model.named_modules()):
        if not any(block in path.lower() for block in _ADAPTED):
            continue
        for child, module in list(parent.named_children()):
            if (shape := _shape(module)) is not None:
                adapters.append(LoraProjection(module, *shape, rank))
                setattr(parent, child, adapters[-1])
    if not adapters:
        raise InputError(f"the language model '{name}' has no attention and no MLP to adapt; name another in {setting}")
    return adapters


def _shape(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a projection; None where a module is none. `Conv1D` is GPT-2's, stored transposed."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None
