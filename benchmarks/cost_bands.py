"""A linear projection of vectors by contrast within bands of cost, after CSCR (arXiv 2508.12491)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import FloatMatrix, Indices

WIDTH, EPOCHS, BATCH, RATE, TEMPERATURE, DEARER = 64, 30, 256, 3e-3, 0.1, 0.2
BANDS = 3
_HANDLED = 0.5

Project = Callable[[FloatMatrix], FloatMatrix]
"""From vectors [n, width] to unit vectors [n, WIDTH]."""


def bands_of(outcomes: Outcomes) -> Indices:
    """The band of cost of each candidate, int64 [c]: equally many in each, one band where no cost is known."""
    cost = np.nanmean(np.where(np.isfinite(outcomes.cost), outcomes.cost, 0.0), axis=0)
    rank = np.argsort(np.argsort(cost, kind="stable"), kind="stable")
    return np.asarray(rank * BANDS // len(cost) if cost.any() else np.zeros(len(cost)), dtype=np.int64)


def fit_projection(vectors: FloatMatrix, outcomes: Outcomes, seed: int) -> Project:
    """Learnt from vectors [n, width] of the outcomes' prompts and a vector of each candidate.

    For each band a prompt is drawn to the candidates that are right on it there, away from all others, from dearer ones
    more. What a candidate was not tried on counts as not handled.
    """
    import torch
    from torch.nn.functional import normalize

    torch.manual_seed(seed)
    layer = torch.nn.Linear(vectors.shape[1], WIDTH, bias=False)
    candidates = torch.nn.Parameter(torch.randn(len(outcomes.candidates), WIDTH) / WIDTH**0.5)
    optimizer = torch.optim.AdamW([layer.weight, candidates], lr=RATE, weight_decay=1e-2)
    known, right = torch.from_numpy(vectors), torch.from_numpy(np.nan_to_num(outcomes.quality) >= _HANDLED)
    bands, dear = torch.from_numpy(bands_of(outcomes)), torch.from_numpy(_dearness(outcomes))
    drawn = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(known), generator=drawn).split(BATCH):
            near = normalize(layer(known[rows]), dim=1) @ normalize(candidates, dim=1).T / TEMPERATURE
            loss = _contrast(near, right[rows], bands, dear / TEMPERATURE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    weight = layer.weight.detach()
    return lambda asked: normalize(torch.from_numpy(asked) @ weight.T, dim=1).numpy()


def _dearness(outcomes: Outcomes) -> FloatMatrix:
    cost = np.nanmean(np.where(np.isfinite(outcomes.cost), outcomes.cost, 0.0), axis=0)
    return np.asarray(DEARER * cost / max(cost.max(), 1e-12), dtype=np.float32)


def _contrast(near, right, bands, dear):  # type: ignore[no-untyped-def]
    """InfoNCE [scalar] over all candidates, its positives band by band."""
    import torch

    every = torch.logsumexp(torch.where(right, near, near + dear), dim=1)
    total = near.sum() * 0
    for band in bands.unique():
        inside = right & (bands == band)
        some = inside.any(dim=1)
        if some.any():
            positives = torch.logsumexp(near[some].masked_fill(~inside[some], -1e9), dim=1)
            total = total + (every[some] - positives).mean()
    return total
