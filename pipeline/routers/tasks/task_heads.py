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
from pipeline.runtime.arrays import Binary, FloatMatrix

if TYPE_CHECKING:
    import torch

Tensors = dict[str, Any]
_HIDDEN = 64
_DROP_IN, _DROP = 0.1, 0.3
_RATE, _DECAY = 1e-3, 1e-2
_TASK_RATE = 3e-3
_BATCH, _EPOCHS, _LEAST_STEPS = 128, 8, 200
_ROWS = 2048
_LEAST_SHARE = 0.01
"""Heads of tasks that are less likely than this are not asked."""
_NAMES = ("trunk", "trunk.bias", "general", "general.bias", "tasks", "tasks.bias")


@dataclass(frozen=True)
class HeadSettings:
    """How many `members` are averaged, and the penalty on the squares of what task heads add to the logits."""

    members: int = 8
    penalty: float = 3e-3


BY_DEFAULT = HeadSettings()


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

    @property
    def candidates(self) -> int:
        """Those of the fit; who joined has no heads."""
        return int(self.arrays[3].shape[-1])

    @classmethod
    def fit(
        cls, features: FloatMatrix, quality: FloatMatrix, belongs: FloatMatrix, shortlist: Binary, seed: int,
        how: HeadSettings = BY_DEFAULT,
    ) -> TaskHeads:  # fmt: skip
        """Learn from features [n, width], qualities [n, c] (NaN where untried), the probability of each task [n, tasks]
        and which candidates have heads there, bool [tasks, c].
        """
        general = _general_heads(features, quality, how.members, seed)
        none = np.zeros((how.members, len(shortlist), *general[2].shape[1:]), dtype=np.float32)
        blank = cls((*general, none, none[:, :, 0]))
        return blank.with_task_heads(features, quality, belongs, shortlist, seed, how.penalty)

    def with_task_heads(
        self, features: FloatMatrix, quality: FloatMatrix, belongs: FloatMatrix, shortlist: Binary, seed: int,
        penalty: float,
    ) -> TaskHeads:  # fmt: skip
        """The same trunk and general heads, with task heads learnt anew; arguments as for `fit`."""
        general = self.arrays[:4]
        return TaskHeads((*general, *_task_heads(general, features, quality, belongs, shortlist, seed, penalty)))

    def first(self, members: int) -> TaskHeads:
        """The first members alone; none was trained with an eye on another."""
        return TaskHeads(tuple(array[:members] for array in self.arrays))

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


def _general_heads(features: FloatMatrix, quality: FloatMatrix, members: int, seed: int) -> tuple[FloatMatrix, ...]:
    """The trunk, the general heads and their biases, by the members' first phase."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    n, width = features.shape
    c = quality.shape[1]
    trunk = torch.randn(members, width, _HIDDEN, generator=draws) / width**0.5
    general = torch.randn(members, _HIDDEN, c, generator=draws) / _HIDDEN / 4
    level = torch.logit(_levels(quality).clamp(0.01, 0.99)).expand(members, 1, c).clone()
    first = [trunk, torch.zeros(members, 1, _HIDDEN), general, level]
    steps = _steps(n)
    learnt = WarmupAdamW(first, _RATE, _DECAY, steps)
    for rows in batches(n, _BATCH, steps, seed):
        inputs = torch.from_numpy(features[rows] * _scale(features)).expand(members, -1, -1)
        hidden = torch.nn.functional.silu(_dropped(inputs, _DROP_IN, draws) @ first[0] + first[1])
        logits = _dropped(hidden, _DROP, draws) @ first[2] + first[3]
        learnt.step(_loss(logits, torch.from_numpy(quality[rows])))
    return tuple(part.detach().numpy().copy() for part in first)


def _task_heads(
    general: Sequence[FloatMatrix], features: FloatMatrix, quality: FloatMatrix, belongs: FloatMatrix,
    shortlist: Binary, seed: int, penalty: float,
) -> tuple[FloatMatrix, ...]:  # fmt: skip
    """What tasks add to the general heads, by the members' second phase: the trunk is frozen."""
    import torch

    trunk, trunk_bias, heads, level = (torch.from_numpy(part) for part in general)
    members, tasks, c = len(trunk), belongs.shape[1], quality.shape[1]
    second = [torch.zeros(members, tasks, _HIDDEN, c), torch.zeros(members, tasks, c)]
    mask = torch.from_numpy(shortlist.astype(np.float32))
    steps = _steps(len(features)) if tasks > 1 else 0
    learnt = WarmupAdamW(second, _TASK_RATE, 0.0, steps)
    for rows in batches(len(features), _BATCH, steps, seed + 1):
        inputs = torch.from_numpy(features[rows] * _scale(features))
        shared = torch.nn.functional.silu(inputs @ trunk + trunk_bias)
        weights, biases = second[0] * mask[:, None, :], second[1] * mask
        added = _of_tasks(shared, torch.from_numpy(belongs[rows]), weights, biases)
        size = weights.square().sum() + biases.square().sum()
        learnt.step(_loss(shared @ heads + level + added, torch.from_numpy(quality[rows])) + penalty * size)
    return tuple(part.detach().numpy().copy() for part in second)


def _steps(rows: int) -> int:
    return max(_LEAST_STEPS, _EPOCHS * -(-rows // _BATCH))


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
