"""Which items and tasks of a test a prompt is like, by features alone."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.runtime.arrays import FloatMatrix, Indices

_SHARPNESS = 20.0


def likeness(test: AptitudeTest, features: FloatMatrix) -> FloatMatrix:
    """How like each of n prompts is to each item, float32 [n, items], together 1; `features` are float32 [n, width]."""
    near = _SHARPNESS * features @ test.features.T + np.log(test.weight).astype(np.float32)
    return np.asarray(softmax(near, axis=1), dtype=np.float32)


def likeness_by_task(test: AptitudeTest, features: FloatMatrix) -> FloatMatrix:
    """The same by task, float32 [n, tasks]."""
    member = (test.task[:, None] == np.arange(len(test.share))).astype(np.float32)
    return np.asarray(likeness(test, features) @ member)


def nearest_tasks(test: AptitudeTest, features: FloatMatrix, count: int) -> Indices:
    """The `count` tasks that each prompt is most like, the likest last: int64 [n, at most count]."""
    order = np.argsort(likeness_by_task(test, features), axis=1, kind="stable")
    return np.asarray(order[:, max(0, order.shape[1] - count) :], dtype=np.int64)
