"""Quality of each candidate from a prompt's features: a shared trunk, a head a candidate, and heads of the tasks.

Several small members are trained side by side and averaged. Each is trained in two phases: the trunk with the general
heads; then, the trunk frozen, for each task what its shortlisted candidates differ by from their general heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from pipeline.routers.tasks.assignment import batches
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices

if TYPE_CHECKING:
    import torch

Tensors = dict[str, Any]
_MEMBERS, _HIDDEN = 8, 64
_DROP_IN, _DROP = 0.1, 0.3
_RATE, _DECAY = 1e-3, 1e-2
_TASK_RATE, _TASK_PENALTY = 3e-3, 3e-3
_BATCH, _EPOCHS, _LEAST_STEPS = 128, 8, 200
_ROWS = 2048
_LEAST_SHARE = 0.01
"""Heads of tasks that are less likely than this are not asked."""
_NAMES = ("trunk", "trunk.bias", "general", "general.bias", "tasks", "tasks.bias")


@dataclass(frozen=True)
class HeadEstimates:
    """Expected quality float32 [n, c] by the general heads and by those of the tasks; the members' spread [n, c]."""

    general: FloatMatrix
    headed: FloatMatrix
    spread: FloatMatrix


@dataclass(frozen=True)
class TaskHeads:
    """For m members: trunk [m, width, hidden], general heads [m, hidden, c] and task heads [m, tasks, hidden, c], with
    biases [m, 1, hidden], [m, 1, c] and [m, tasks, c]; all float32. A task head is zero where none was trained.
    """

    arrays: tuple[FloatMatrix, ...]

    @classmethod
    def fit(
        cls, features: FloatMatrix, quality: FloatMatrix, belongs: FloatMatrix, shortlist: Binary, seed: int
    ) -> TaskHeads:
        """Learn from features [n, width], qualities [n, c] (NaN where untried), the probability of each task [n, tasks]
        and which candidates have heads there, bool [tasks, c].
        """
        return cls(tuple(_trained(features, quality, belongs, shortlist, seed)))

    def of(self, features: FloatMatrix, belongs: FloatMatrix, with_tasks: bool = True) -> HeadEstimates:
        """Estimates of n prompts; without the task heads what is `headed` is `general` too, and takes less time."""
        parts = [
            self._of(features[start : start + _ROWS], belongs[start : start + _ROWS], with_tasks)
            for start in range(0, len(features), _ROWS)
        ]
        return HeadEstimates(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _of(self, features: FloatMatrix, belongs: FloatMatrix, with_tasks: bool) -> tuple[FloatMatrix, ...]:
        trunk, trunk_bias, general, general_bias, tasks, tasks_bias = self.arrays
        hidden = features * _scale(features) @ trunk + trunk_bias
        hidden *= expit(hidden)
        logits = hidden @ general + general_bias
        every = expit(logits)
        found = every.mean(axis=0)
        if not with_tasks:
            return found, found, every.std(axis=0)
        for t in np.flatnonzero((belongs >= _LEAST_SHARE).any(axis=0)):
            rows = np.flatnonzero(belongs[:, t] >= _LEAST_SHARE)
            logits[:, rows] += belongs[rows, t, None] * (hidden[:, rows] @ tasks[:, t] + tasks_bias[:, None, t])
        headed = expit(logits)
        return found, headed.mean(axis=0), headed.std(axis=0)

    def tensors(self) -> Tensors:
        return {f"heads.{name}": array for name, array in zip(_NAMES, self.arrays, strict=True)}

    @classmethod
    def load(cls, tensors: Tensors) -> TaskHeads:
        return cls(tuple(tensors[f"heads.{name}"] for name in _NAMES))


def _scale(features: FloatMatrix) -> np.float32:
    return np.float32(np.sqrt(features.shape[1]))


def _of_tasks(hidden: torch.Tensor, belongs: torch.Tensor, tasks: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
    """What the tasks' heads add to the logits, torch tensors [m, n, c]."""
    members, count, width, c = tasks.shape
    outer = (belongs[None, :, :, None] * hidden[:, :, None, :]).reshape(members, len(belongs), count * width)
    return outer @ tasks.reshape(members, count * width, c) + belongs @ biases


def _trained(
    features: FloatMatrix, quality: FloatMatrix, belongs: FloatMatrix, shortlist: Binary, seed: int
) -> Sequence[FloatMatrix]:
    import torch

    draws = torch.Generator().manual_seed(seed)
    n, width = features.shape
    c, tasks = quality.shape[1], belongs.shape[1]
    trunk = torch.randn(_MEMBERS, width, _HIDDEN, generator=draws) / width**0.5
    general = torch.randn(_MEMBERS, _HIDDEN, c, generator=draws) / _HIDDEN / 4
    level = torch.logit(_levels(quality).clamp(0.01, 0.99)).expand(_MEMBERS, 1, c).clone()
    first = [trunk, torch.zeros(_MEMBERS, 1, _HIDDEN), general, level]
    second = [torch.zeros(_MEMBERS, tasks, _HIDDEN, c), torch.zeros(_MEMBERS, tasks, c)]
    steps = max(_LEAST_STEPS, _EPOCHS * -(-n // _BATCH))

    def asked(rows: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(features[rows] * _scale(features)), torch.from_numpy(quality[rows])

    def hidden(inputs: torch.Tensor, train: bool) -> torch.Tensor:
        some = _dropped(inputs.expand(_MEMBERS, -1, -1), _DROP_IN, draws) if train else inputs
        found = torch.nn.functional.silu(some @ first[0] + first[1])
        return _dropped(found, _DROP, draws) if train else found

    learnt = WarmupAdamW(first, _RATE, _DECAY, steps)
    for rows in batches(n, _BATCH, steps, seed):
        inputs, wanted = asked(rows)
        learnt.step(_loss(hidden(inputs, True) @ first[2] + first[3], wanted))
    for part in first:
        part.requires_grad_(False)
    mask = torch.from_numpy(shortlist.astype(np.float32))
    learnt = WarmupAdamW(second, _TASK_RATE, 0.0, steps if tasks > 1 else 0)
    for rows in batches(n, _BATCH, steps if tasks > 1 else 0, seed + 1):
        inputs, wanted = asked(rows)
        shared = hidden(inputs, False)
        weights, biases = second[0] * mask[:, None, :], second[1] * mask
        added = _of_tasks(shared, torch.from_numpy(belongs[rows]), weights, biases)
        size = weights.square().sum() + biases.square().sum()
        learnt.step(_loss(shared @ first[2] + first[3] + added, wanted) + _TASK_PENALTY * size)
    return [part.detach().numpy().copy() for part in (*first, *second)]


class WarmupAdamW:
    """AdamW whose rate rises over a tenth of the steps and falls to nothing."""

    def __init__(self, parts: Sequence[torch.Tensor], rate: float, decay: float, steps: int) -> None:
        import torch

        self._optimizer = torch.optim.AdamW([part.requires_grad_() for part in parts], lr=rate, weight_decay=decay)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min((step + 1) / (0.1 * steps + 1), (steps - step) / (0.9 * steps + 1))
        )

    def step(self, loss: torch.Tensor) -> None:
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()


def _levels(quality: FloatMatrix) -> torch.Tensor:
    import torch

    known = ~np.isnan(quality)
    mean = np.where(known, quality, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return torch.from_numpy(np.where(known.any(axis=0), mean, 0.5).astype(np.float32))


def _loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Log loss of each member over known cells; shares of right answers count as such, so ties pull nobody apart."""
    import torch

    known = ~torch.isnan(wanted)
    target = torch.where(known, wanted, 0.0).expand_as(logits)
    cells = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss: torch.Tensor = (cells * known).sum() / known.sum().clamp(min=1)
    return loss


def _dropped(values: torch.Tensor, share: float, draws: torch.Generator) -> torch.Tensor:
    import torch

    kept = torch.rand(values.shape, generator=draws) >= share
    return values * kept / (1 - share)
