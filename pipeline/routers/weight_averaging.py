"""The network that serves: the mean of fine-tuned ones, and of exclusive labels some of the published one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.finetuning import ClassifierNetwork, TrainingRows, Weights, new_network
from pipeline.routers.parallel_fits import one_thread
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

_PUBLISHED, _INVERSE_PENALTY = 0.3, 100.0
"""Of exclusive labels: the share of the published weights, and how freely the regression may grow."""


def averaged(params: FinetuningParams, rows: TrainingRows, trained: Sequence[Weights]) -> ClassifierNetwork:
    """The network whose weights are the mean of several that started alike and learnt from these rows.

    Where each prompt has exactly one label the encoder goes part of the way back to its published weights (WiSE-FT,
    Wortsman et al., 2022), and a logistic regression on its vectors of what was learnt from is added to the head: with
    a handful of prompts a label, fine-tuning forgets more than it learns.

    Raises:
        InputError: training diverged.
    """
    network = new_network(params, rows.labels.shape[1])
    state = network.state_dict()
    with torch.no_grad():
        for name in trained[0]:
            mean = torch.stack([weights[name].double() for weights in trained]).mean(dim=0)
            kept = _PUBLISHED if rows.exclusive and not name.startswith("head.") else 0.0
            state[name].copy_(mean + kept * (state[name].cpu().double() - mean))
    if not all(bool(torch.isfinite(values).all()) for values in state.values()):
        raise InputError(
            "training diverged, its weights are no numbers; lower train.learning_rate or train.head_learning_rate"
        )
    network.eval()
    if rows.exclusive:
        with one_thread():
            _add_regression(network, *rows.with_names(params))
    return network


@torch.no_grad()
def _add_regression(network: ClassifierNetwork, prompts: Sequence[str], labels: FloatMatrix) -> None:
    """A label that neither a prompt nor a name tells of gets nothing, which is the mean of the others."""
    from sklearn.linear_model import LogisticRegression

    given = labels.argmax(axis=1)
    if len(found := np.unique(given)) < 2:
        return
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=500).fit(network.encoder.embed(prompts), given)
    both = np.column_stack([model.coef_ / network.scale, model.intercept_])
    if len(found) == 2:  # told as one row, of the second label against the first
        both = np.concatenate([-both, both]) / 2
    more = torch.zeros(labels.shape[1], both.shape[1])
    more[found] = torch.from_numpy(both).float()
    network.head.weight.add_(more[:, :-1].to(network.head.weight.device))
    network.head.bias.add_(more[:, -1].to(network.head.bias.device))
