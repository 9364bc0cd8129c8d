"""From a prompt to its task: a multinomial logistic regression on its features, with calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from pipeline.runtime.arrays import FloatMatrix, Indices

Tensors = dict[str, Any]
_STEPS, _BATCH = 600, 256
_RATE, _DECAY = 0.02, 1e-3
_TEMPERATURES = np.geomspace(0.25, 4, 33)
_HELD_OUT = 10
_NAMES = ("weights", "biases", "centres", "least_cosine")
_NEW_SHARE = 0.005
"""A prompt is like no known task where so few of the training prompts are less like theirs."""


@dataclass(frozen=True)
class TaskClassifier:
    """Weights float32 [tasks, width], biases float32 [tasks]; the tasks' centres, unit vectors float32 [tasks, width],
    and the cosine to the nearest centre below which a prompt is like no known task.
    """

    weights: FloatMatrix
    biases: FloatMatrix
    centres: FloatMatrix
    least_cosine: float

    @classmethod
    def fit(cls, features: FloatMatrix, task: Indices, tasks: int, seed: int) -> TaskClassifier:
        """Learn the task of each row; the temperature is chosen on a held-out tenth."""
        weights, biases = _heads(features, task, tasks, seed)
        centres = np.stack([features[task == t].mean(axis=0) for t in range(tasks)])
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
        nearest = (features @ centres.T).max(axis=1)
        scale = 1 / _temperature(features, task, tasks, seed)
        least = float(np.quantile(nearest, _NEW_SHARE)) - 1e-4
        return cls(weights * np.float32(scale), biases * np.float32(scale), centres.astype(np.float32), least)

    def of(self, features: FloatMatrix) -> FloatMatrix:
        """The probability of each task, float32 [n, tasks]."""
        return np.asarray(softmax(features @ self.weights.T + self.biases, axis=1), dtype=np.float32)

    def loss(self, features: FloatMatrix, task: Indices) -> float:
        """Log loss on features [n, width] whose tasks int64 [n] are known."""
        logits = features @ self.weights.T + self.biases
        return float(-log_softmax(logits, axis=1)[np.arange(len(task)), task].mean())

    def is_new(self, features: FloatMatrix) -> np.ndarray:
        """Which prompts are like no known task, bool [n]."""
        return np.asarray((features @ self.centres.T).max(axis=1) < self.least_cosine)

    def tensors(self) -> Tensors:
        arrays = (self.weights, self.biases, self.centres, np.array([self.least_cosine]))
        return {f"task.{name}": array for name, array in zip(_NAMES, arrays, strict=True)}

    @classmethod
    def load(cls, tensors: Tensors) -> TaskClassifier:
        weights, biases, centres, least = (tensors[f"task.{name}"] for name in _NAMES)
        return cls(weights, biases, centres, float(least[0]))


def _temperature(features: FloatMatrix, task: Indices, tasks: int, seed: int) -> float:
    """The divisor of logits that gives the least log loss on the held-out tenth."""
    held_out = np.arange(len(task)) % _HELD_OUT == 0
    if tasks < 2 or len(task) < 2 * _HELD_OUT:
        return 1.0
    weights, biases = _heads(features[~held_out], task[~held_out], tasks, seed)
    logits, right = features[held_out] @ weights.T + biases, task[held_out]
    return best_temperature(logits, right)


def best_temperature(logits: FloatMatrix, right: Indices) -> float:
    """The divisor of logits [n, tasks] of least log loss, where `right` int64 [n] are the tasks."""
    losses = [-log_softmax(logits / t, axis=1)[np.arange(len(right)), right].mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _heads(features: FloatMatrix, task: Indices, tasks: int, seed: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Weights [tasks, width] and biases [tasks] of a multinomial logistic regression, fitted in mini-batches."""
    import torch

    scale = float(np.sqrt(features.shape[1]))
    linear = [torch.zeros(tasks, features.shape[1], requires_grad=True), torch.zeros(tasks, requires_grad=True)]
    optimizer = torch.optim.AdamW(linear, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, _STEPS)
    for rows in batches(len(task), _BATCH, _STEPS if tasks > 1 else 0, seed):
        logits = torch.nn.functional.linear(torch.from_numpy(features[rows] * scale), *linear)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(task[rows]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    weights, biases = (part.detach().numpy() for part in linear)
    return weights * np.float32(scale), biases


def batches(rows: int, size: int, steps: int, seed: int) -> Iterator[Indices]:
    """`steps` mini-batches of row numbers, each epoch in a new order."""
    random = np.random.default_rng(seed)
    done = 0
    while rows and done < steps:
        order = random.permutation(rows)
        for start in range(0, rows, size):
            if done == steps:
                return
            yield order[start : start + size]
            done += 1
