"""The lean reader: a prompt attends to the items of the test that are like it, and takes what a candidate got there.

Several heads look about more or less widely. What a head found counts the less the fewer answers it rests on; a gate
mixes the heads by the prompt, and a line in log-odds, steeper or flatter by the prompt, gives the logit. Attention
depends on texts alone and every weight on an answer is at least 0, so a right answer never lowers a logit. At first the
reader is a plain kernel mean over the items; it is moved from there as far as training shows it to pay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import logit, softmax

from pipeline.routers.aptitude.capability import Capability, level_variance, levels
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.routers.aptitude.training_set import TrainingSet, VirtualCandidates
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.tasks.assignment import batches
from pipeline.routers.tasks.task_heads import WarmupAdamW
from pipeline.runtime.arrays import FloatMatrix, Values
from pipeline.runtime.progress import Progress

if TYPE_CHECKING:
    import torch


TENSORS = "lean.safetensors"
_SHARPNESS = (5.0, 10.0, 20.0)
_RANK = 16
_PRIOR = 10.0
_REACH = 10.0
_GATE_SCALE = 0.3
_STEEPNESS = 0.5413
"""Its softplus is 1."""
_CLIP = 0.02
_BATCH, _EPOCHS, _LEAST_STEPS = 128, 4, 120
_RATE, _DECAY = 3e-3, 1e-2
_ANSWERED = (0.1, 0.2, 0.4, 1.0)
"""Virtual candidates answered such a share of the items, so that few answers are learnt to be trusted less."""
_EXTREME = 0.2
"""How much the candidates that get everything right, or wrong, weigh beside the others."""
_ROWS = 512
_NAMES = ("sharpness", "axes", "reach", "prior", "mix", "mix.prompt", "line", "line.prompt")


@dataclass(frozen=True)
class AttendedAccuracy:
    """Of n prompts and c candidates: accuracy about the prompt, pulled to the candidate's level, float64 [n, c], and
    its variance [n, c]; shift and steepness of each prompt's line, [n, 2].
    """

    accuracy: Values
    variance: Values
    line: Values


class AttentionReader:
    """Cross-attention from prompts to the test's items. Arrays float32: sharpness [h], axes [h, width, rank], reach
    [h], prior [h], mix [h] and [width, h], line [2] and [width, 2].
    """

    def __init__(self, params: AptitudeParams) -> None:
        self.params = params
        self._arrays: tuple[np.ndarray, ...] = ()

    def fit(self, training_set: TrainingSet, seed: int, progress: Progress | None = None) -> None:
        self._arrays = tuple(_trained(training_set, self.params, seed, progress))

    def logits(
        self, test: AptitudeTest, capability: Capability, prompts: Sequence[str], features: FloatMatrix
    ) -> FloatMatrix:
        found = [self._attended(test, capability, part) for part in _blocks(features)]
        return np.concatenate([_on_line(each) for each in found]).astype(np.float32)

    def uncertainty(self, test: AptitudeTest, capability: Capability, features: FloatMatrix) -> Values:
        """The standard error of each logit, float64 [n, c], from how many answers tell of it and of the level."""
        found = [_logit_error(self._attended(test, capability, part)) for part in _blocks(features)]
        return np.concatenate(found)

    def attention(self, test: AptitudeTest, features: FloatMatrix) -> FloatMatrix:
        """How much each item tells of each prompt, float32 [n, items], together 1."""
        found = np.sum([share * weight for share, weight, _ in self._heads(test, features)], axis=0)
        return np.asarray(found, dtype=np.float32)

    def _attended(self, test: AptitudeTest, capability: Capability, features: FloatMatrix) -> AttendedAccuracy:
        line, line_prompt = self._arrays[-2:]
        known = ~np.isnan(capability.answers)
        filled = np.where(known, capability.answers, 0).astype(np.float32)
        answered = known.astype(np.float32)
        level = levels(test, capability.answers)
        accuracy = np.tile(level, (len(features), 1))
        variance = np.zeros_like(accuracy)
        of_answer, of_level = level_variance(test, capability.answers)
        for share, weight, prior in self._heads(test, features):
            mass = np.maximum(weight @ answered, 1e-9)
            count = mass / (weight**2).sum(axis=1, keepdims=True)
            weighed = count + np.exp(prior)
            pulled = count / weighed
            accuracy += share * pulled * (weight @ filled / mass - level)
            variance += share * (of_answer / weighed + (1 - pulled) ** 2 * of_level)
        return AttendedAccuracy(accuracy, variance, _lines(line + features * _gate_scale(features) @ line_prompt))

    def _heads(self, test: AptitudeTest, features: FloatMatrix) -> Iterator[tuple[FloatMatrix, FloatMatrix, float]]:
        """Of each head: its weight for each prompt [n, 1], its attention to items [n, items], and its prior."""
        sharpness, axes, reach, prior, mix, mix_prompt = self._arrays[:-2]
        share = softmax(mix + features * _gate_scale(features) @ mix_prompt, axis=1)
        cosine, rarity = features @ test.features.T, np.log(test.weight).astype(np.float32)
        for h in range(len(sharpness)):
            alike = (features @ axes[h]) @ (test.features @ axes[h]).T
            near = np.exp(sharpness[h]) * cosine + _REACH * np.tanh(reach[h]) * alike
            yield share[:, h : h + 1], softmax(near + rarity, axis=1), float(prior[h])

    def save(self, folder: Path) -> None:
        save_file(dict(zip(_NAMES, self._arrays, strict=True)), folder / TENSORS)

    def load(self, folder: Path) -> None:
        found = load_file(folder / TENSORS)
        self._arrays = tuple(found[name] for name in _NAMES)


def _blocks(features: FloatMatrix) -> Iterator[FloatMatrix]:
    for start in range(0, max(len(features), 1), _ROWS):
        yield features[start : start + _ROWS]


def _gate_scale(features: FloatMatrix) -> np.float32:
    return np.float32(_GATE_SCALE * np.sqrt(features.shape[1]))


def _lines(values: Values) -> Values:
    return np.column_stack([values[:, 0], np.logaddexp(0, values[:, 1] + _STEEPNESS)])


def _on_line(found: AttendedAccuracy) -> Values:
    return np.asarray(found.line[:, :1] + found.line[:, 1:] * logit(found.accuracy.clip(_CLIP, 1 - _CLIP)))


def _logit_error(found: AttendedAccuracy) -> Values:
    spread = found.accuracy.clip(_CLIP, 1 - _CLIP)
    return np.asarray(found.line[:, 1:] * np.sqrt(found.variance) / (spread * (1 - spread)))


def _first(width: int, draws: torch.Generator) -> list[torch.Tensor]:
    """The arrays before training: kernel means over the items, all heads weighed alike, logits unchanged."""
    import torch

    heads = len(_SHARPNESS)
    return [
        torch.log(torch.tensor(_SHARPNESS)),
        torch.randn(heads, width, _RANK, generator=draws) / _RANK**0.5,
        torch.zeros(heads),
        torch.full((heads,), float(np.log(_PRIOR))),
        torch.zeros(heads),
        torch.zeros(width, heads),
        torch.zeros(2),
        torch.zeros(width, 2),
    ]


@dataclass(frozen=True)
class _Shown:
    """The candidates of one step: answers float32 [items, c] with gaps filled, which were given, and levels [c]."""

    filled: torch.Tensor
    answered: torch.Tensor
    level: torch.Tensor


def _trained(
    training_set: TrainingSet, params: AptitudeParams, seed: int, progress: Progress | None
) -> list[np.ndarray]:
    import torch

    from pipeline.routers.aptitude.training_set import LOSSES

    draws, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    arrays = _first(training_set.features.shape[1], draws)
    steps = max(_LEAST_STEPS, _EPOCHS * -(-len(training_set.prompts) // _BATCH))
    learning = WarmupAdamW(arrays, _RATE, _DECAY, steps)
    items = torch.from_numpy(training_set.test.features)
    rarity = torch.from_numpy(np.log(training_set.test.weight).astype(np.float32))
    loss = LOSSES[params.loss]
    for step, rows in enumerate(batches(len(training_set.prompts), _BATCH, steps, seed)):
        virtual = VirtualCandidates.drawn(training_set, params.virtual, random)
        shown = _shown(
            training_set, _thinned(np.hstack([training_set.capability.answers, virtual.answers]), params, random)
        )
        quality = torch.from_numpy(np.hstack([training_set.quality[rows], virtual.quality(training_set, rows)]))
        logits = _forward(arrays, torch.from_numpy(training_set.features[rows]), items, rarity, shown)
        learning.step(loss(logits, quality, _weights(quality.shape[1]), params.group, draws))
        if progress and step % 20 == 0:
            progress(f"reading capabilities: step {step + 1} of {steps}")
    return [array.detach().numpy().copy() for array in arrays]


def _thinned(answers: FloatMatrix, params: AptitudeParams, random: np.random.Generator) -> FloatMatrix:
    """The answers without random ones of the virtual mixtures; real candidates and both extremes keep theirs."""
    thinned = answers.copy()
    for column in range(answers.shape[1] - params.virtual - 2, answers.shape[1] - 2):
        thinned[random.random(len(answers)) >= random.choice(_ANSWERED), column] = np.nan
    return thinned


def _weights(candidates: int) -> torch.Tensor:
    import torch

    weights = torch.ones(candidates)
    weights[-2:] = _EXTREME
    return weights


def _shown(training_set: TrainingSet, answers: FloatMatrix) -> _Shown:
    import torch

    known = ~np.isnan(answers)
    level = levels(training_set.test, answers).astype(np.float32)
    filled, answered = (torch.from_numpy(each.astype(np.float32)) for each in (np.where(known, answers, 0), known))
    return _Shown(filled, answered, torch.from_numpy(level))


def _forward(
    arrays: Sequence[torch.Tensor], features: torch.Tensor, items: torch.Tensor, rarity: torch.Tensor, shown: _Shown
) -> torch.Tensor:
    """Logits [n, c]: as `AttentionReader._attended` and `_on_line`, differentiable."""
    import torch

    sharpness, axes, reach, prior, mix, mix_prompt, line, line_prompt = arrays
    inputs = features * _GATE_SCALE * features.shape[1] ** 0.5
    alike = (features @ axes) @ (items @ axes).transpose(1, 2)
    near = sharpness.exp()[:, None, None] * (features @ items.T) + _REACH * torch.tanh(reach)[:, None, None] * alike
    weight = torch.softmax(near + rarity, dim=-1)
    mass = (weight @ shown.answered).clamp(min=1e-9)
    count = mass / weight.square().sum(dim=-1, keepdim=True)
    pulled = count / (count + prior.exp()[:, None, None]) * (weight @ shown.filled / mass - shown.level)
    share = torch.softmax(mix + inputs @ mix_prompt, dim=1)
    accuracy = shown.level + torch.einsum("nh,hnc->nc", share, pulled)
    lines = line + inputs @ line_prompt
    steepness = torch.nn.functional.softplus(lines[:, 1:] + _STEEPNESS)
    logits: torch.Tensor = lines[:, :1] + steepness * torch.logit(accuracy.clamp(_CLIP, 1 - _CLIP))
    return logits
