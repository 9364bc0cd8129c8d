"""An encoder fine-tuned to tell tasks apart, for `tasks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.encoders.onnx_encoder import FP32, OnnxEncoder
from pipeline.encoders.onnx_export import export
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.finetuning import TrainingRows, finetune
from pipeline.routers.tasks.encoder_assignment import EncoderAssignment
from pipeline.routers.weight_averaging import averaged
from pipeline.runtime.arrays import Indices

_HELD_OUT = 10


def finetuned_assignment(
    texts: Sequence[str], task: Indices, count: int, params: FinetuningParams, seed: int
) -> EncoderAssignment:
    """One network as `classifier` trains it, with one task a text in place of labels.

    `task` int64 [n] is below `count`. Every tenth text is held out, to choose the temperature on.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    rows = np.arange(len(texts))
    held_out = rows[rows % _HELD_OUT == 0] if len(rows) >= 2 * _HELD_OUT else rows[:0]
    learnt = np.setdiff1d(rows, held_out)
    labels = np.eye(count, dtype=np.float32)[task[learnt]]
    learning = TrainingRows([texts[i] for i in learnt], labels, exclusive=True)
    network = averaged(params, learning, [finetune(learning, params, seed).trained()])
    weights, biases = network.head_arrays()
    files = TemporaryDirectory(prefix="assignment-")
    place = Path(files.name)
    export(network.encoder, place, FP32)
    found = EncoderAssignment(OnnxEncoder.load(place), weights * np.float32(network.scale), biases, place, files)
    return found.calibrated([texts[i] for i in held_out], task[held_out])
