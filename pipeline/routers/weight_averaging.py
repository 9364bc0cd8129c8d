"""The network that serves: the mean of fine-tuned ones, and of exclusive labels some of the published one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.finetuning import LEAST_SHARE, ClassifierNetwork, TrainingRows, Weights, new_network

_PUBLISHED, _INVERSE_PENALTY = 0.3, 100.0
"""Of exclusive labels: the share of the published weights, and how freely the regression may grow."""


def averaged(params: FinetuningParams, rows: TrainingRows, trained: Sequence[Weights]) -> ClassifierNetwork:
    """The network whose weights are the mean of several that started alike and learnt from these rows.

    Where each prompt has exactly one label the encoder goes part of the way back to its published weights (WiSE-FT,
    Wortsman et al., 2022), and the head is joined by a logistic regression on the rows' vectors there: with a handful
    of prompts a label, fine-tuning forgets more than it learns.
    """
    network = new_network(params, rows.labels.shape[1])
    state = network.state_dict()
    with torch.no_grad():
        for name in trained[0]:
            mean = torch.stack([weights[name].double() for weights in trained]).mean(dim=0)
            kept = _PUBLISHED if rows.exclusive and not name.startswith("head.") else 0.0
            state[name].copy_(mean + kept * (state[name].cpu().double() - mean))
    network.eval()
    if rows.exclusive:
        _add_regression(network, rows)
    return network


@torch.no_grad()
def _add_regression(network: ClassifierNetwork, rows: TrainingRows) -> None:
    """Add a logistic regression on the rows' vectors to the head; a label that no row has is all but ruled out."""
    from sklearn.linear_model import LogisticRegression

    given = rows.labels.argmax(axis=1)
    if len(labels := np.unique(given)) < 2:
        return
    found = LogisticRegression(C=_INVERSE_PENALTY, max_iter=500).fit(network.encoder.embed(rows.prompts), given)
    weights, biases = found.coef_ / network.scale, found.intercept_
    if len(labels) == 2:  # told as one row, of the second label against the first
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    more = np.zeros(network.head.weight.shape, dtype=np.float32)
    levels = np.full(len(more), np.log(LEAST_SHARE), dtype=np.float32)
    more[labels], levels[labels] = weights, biases
    network.head.weight.add_(torch.from_numpy(more).to(network.head.weight.device))
    network.head.bias.add_(torch.from_numpy(levels).to(network.head.bias.device))
