"""From a torch encoder to the files that answer: export to ONNX, quantisation to int8, proof that both say the same.

int8 is dynamic, per channel (one scale for a whole weight matrix loses three times as much), and its graph takes
no mask: it reads one prompt a call, so nothing is ever padded.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from pipeline.encoders.engine_files import DESCRIPTION, GRAPH, TOKENIZER
from pipeline.encoders.onnx_encoder import FORMAT, FP32, INT8, OnnxEncoder, runtime
from pipeline.encoders.sentence_encoder import SentenceEncoder, pool_tokens
from pipeline.encoders.windows import LAST_TOKEN
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line
from pipeline.runtime.tables import write_json

_OPSET = 17
_TOLERANCE = 1e-3
"""Most that a coordinate of a unit vector may differ between torch and the fp32 graph."""


class _Pooled(torch.nn.Module):
    """Token ids and, where there is one, a mask, to what `pool_tokens` makes of the last layer."""

    def __init__(self, model: torch.nn.Module, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        if attention_mask is None and self.pooling == LAST_TOKEN:
            # Without a mask a decoder looks for texts that were packed into one, which no graph can say.
            attention_mask = torch.ones_like(input_ids)
        if attention_mask is not None:
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return pool_tokens(hidden, attention_mask, self.pooling)
        mean = self.model(input_ids=input_ids).last_hidden_state.mean(dim=1)
        return torch.nn.functional.normalize(mean, dim=-1)


def export(encoder: SentenceEncoder, folder: Path, precision: str) -> None:
    """Write an encoder's `engine` folder in one precision, `int8` or `fp32`.

    Raises:
        InputError: its tokenizer has no fast form.
        SwitchtenderError: the encoder cannot be exported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backend = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError("the encoder's tokenizer has no tokenizer.json; name another encoder in train.encoder")
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / TOKENIZER))
    if precision == INT8:
        with tempfile.TemporaryDirectory() as place:
            _export_graph(encoder, Path(place) / GRAPH, masked=False)
            _quantise(Path(place) / GRAPH, folder / GRAPH)
    else:
        _export_graph(encoder, folder / GRAPH, masked=True)
    facts = {"format": FORMAT, "precision": precision, "max_tokens": encoder.room.tokens, "width": encoder.width}
    write_json(facts, folder / DESCRIPTION)


@contextmanager
def quantised(encoder: SentenceEncoder, threads: int) -> Iterator[OnnxEncoder]:
    """The int8 form of an encoder, for as long as it is looked at."""
    with tempfile.TemporaryDirectory() as place:
        export(encoder, Path(place), INT8)
        yield OnnxEncoder.load(Path(place), threads)


def require_parity(encoder: SentenceEncoder, exported: OnnxEncoder, prompts: Sequence[str]) -> float:
    """The largest difference of a coordinate between torch and an fp32 graph.

    Raises:
        SwitchtenderError: they differ, so the export is wrong.
    """
    if exported.precision != FP32:
        raise ValueError("only fp32 is held against torch; int8 is judged by what it routes")
    difference = float(np.abs(encoder.embed(prompts) - exported.embed(prompts)).max())
    if not difference <= _TOLERANCE:
        raise SwitchtenderError(
            f"the exported encoder differs from torch by {difference:.4f} (at most {_TOLERANCE}), so it cannot serve; "
            "name another in train.encoder, and report this one"
        )
    return difference


def _export_graph(encoder: SentenceEncoder, path: Path, masked: bool) -> None:
    length = min(9, encoder.room.tokens)
    ids = torch.ones((2 if masked else 1, length), dtype=torch.int64)
    arguments = (ids, torch.ones_like(ids)) if masked else (ids,)
    names = ["input_ids", "attention_mask"][: len(arguments)]
    axes = {name: {0: "prompts", 1: "tokens"} for name in names} | {"vector": {0: "prompts"}}
    with _exporting(), torch.no_grad(), _on_cpu(encoder.model):
        # The exporter by tracing: the graph of the newer one is slower here (docs/decisions/0007).
        torch.onnx.export(
            _Pooled(encoder.model, encoder.pooling).eval(),
            arguments,
            str(path),
            input_names=names,
            output_names=["vector"],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


@contextmanager
def _on_cpu(model: torch.nn.Module) -> Iterator[None]:
    """A graph is the same wherever its model computes."""
    before = next(model.parameters()).device
    model.to("cpu")
    try:
        yield
    finally:
        model.to(before)


def _quantise(source: Path, target: Path) -> None:
    runtime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _exporting():
        quantize_dynamic(source, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


@contextmanager
def _exporting() -> Iterator[None]:
    """No warnings: tracing warns of every shape that it fixes, and `require_parity` tells whether one mattered.

    Raises:
        SwitchtenderError: the architecture has what ONNX has not, or the graph is too large for a file.
    """
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError:
        raise
    except Exception as error:  # the exporter, protobuf and the quantiser raise their own, plain and built-in ones
        raise SwitchtenderError(f"the encoder cannot be exported to ONNX ({one_line(error, 120)})") from error
    finally:
        logger.setLevel(level)
