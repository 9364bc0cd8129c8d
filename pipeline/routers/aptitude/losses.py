"""What a reader is trained by: yes or no for each cell, or who of a group of prompts a candidate can handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_HANDLED = 0.5


def pointwise(
    logits: torch.Tensor, quality: torch.Tensor, weights: torch.Tensor, group: int, draws: torch.Generator
) -> torch.Tensor:
    """Cross-entropy of yes and no; a share of right answers counts as such."""
    import torch

    known = ~torch.isnan(quality)
    wanted = torch.where(known, quality, 0.0)
    cells = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    counted = known * weights
    loss: torch.Tensor = (cells * counted).sum() / counted.sum().clamp(min=1e-9)
    return loss


def grouped(
    logits: torch.Tensor, quality: torch.Tensor, weights: torch.Tensor, group: int, draws: torch.Generator
) -> torch.Tensor:
    """For each candidate each prompt that it handled against `group` - 1 that it did not: cross-entropy over the group.

    It says nothing of a candidate's level (arXiv 2502.17282, in-batch negatives).
    """
    import torch

    losses, counted = [], []
    for column in range(logits.shape[1]):
        handled = torch.nonzero(quality[:, column] >= _HANDLED)[:, 0]
        mishandled = torch.nonzero(quality[:, column] < _HANDLED)[:, 0]
        if len(handled) and len(mishandled):
            chosen = torch.randint(len(mishandled), (len(handled), group - 1), generator=draws)
            rivals = logits[mishandled[chosen], column]
            every = torch.cat([logits[handled, column][:, None], rivals], dim=1)
            losses.append((torch.logsumexp(every, dim=1) - every[:, 0]).mean() * weights[column])
            counted.append(weights[column])
    if not losses:
        return logits.sum() * 0.0
    return torch.stack(losses).sum() / torch.stack(counted).sum()
