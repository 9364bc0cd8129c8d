"""Contenders of the project's own environment: the engine, the bare call inside it, and torch by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.contender import BARE, BATCH, TORCH_SORTED, Contender, Setup
from pipeline.encoders.engine_files import ENGINE, GRAPH
from pipeline.encoders.onnx_encoder import OnnxEncoder


def load(setup: Setup) -> Contender:
    """The contender that the setup names."""
    if setup.contender == BARE:
        return BareCall(setup)
    if setup.contender.startswith("engine"):
        return OurEngine(setup)
    return TorchEager(setup, by_length=setup.contender == TORCH_SORTED)


class OurEngine:
    """From text to calibrated scores, costs and the nearest training rows."""

    def __init__(self, setup: Setup) -> None:
        from pipeline.serving.engine.engine import Engine

        self.engine = Engine.load(Path(setup.model), setup.threads)

    def prepare(self, prompts: Sequence[str]) -> list[str]:
        return list(prompts)

    def answer(self, prepared: list[str]) -> object:
        return self.engine.score(prepared)

    def vector(self, prompt: str) -> list[float]:
        embedding = self.engine.router.scorer.embedding
        assert embedding is not None
        vector: list[float] = embedding.embed([prompt])[0].tolist()
        return vector


class BareCall:
    """`session.run` alone: the text was made into the tokens that the engine would read, and nothing follows."""

    def __init__(self, setup: Setup) -> None:
        from pipeline.encoders.onnx_encoder import runtime

        onnxruntime = runtime()

        folder = Path(setup.model) / ENGINE
        self.reader = OnnxEncoder.load(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setup.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])

    def prepare(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        tokens = [view for ids in self.reader.ids(prompts) for view in self.reader.room.views(ids)]
        return [{"input_ids": np.array([ids], dtype=np.int64)} for ids in tokens]

    def answer(self, prepared: list[dict[str, Any]]) -> object:
        return [self.session.run(None, feed)[0] for feed in prepared]

    def vector(self, prompt: str) -> list[float]:
        vectors = self.session.run(None, self.prepare([prompt])[0])[0]
        return [float(value) for value in vectors[0]]


class TorchEager:
    """As one would write it by hand: tokenizer, model, mean of the tokens, one linear layer, sigmoid."""

    def __init__(self, setup: Setup, by_length: bool) -> None:
        import torch
        from safetensors.torch import load_file
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(setup.threads)
        self.torch, self.by_length, self.max_tokens = torch, by_length, setup.max_tokens
        self.tokenizer = AutoTokenizer.from_pretrained(setup.encoder)
        self.model = AutoModel.from_pretrained(setup.encoder).eval()
        self.head = load_file(setup.head)

    def prepare(self, prompts: Sequence[str]) -> list[str]:
        return list(prompts)

    def answer(self, prepared: list[str]) -> object:
        prompts = sorted(prepared, key=len) if self.by_length else prepared
        return [self._probabilities(prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)]

    def _probabilities(self, prompts: list[str]) -> Any:
        with self.torch.inference_mode():
            return self.torch.sigmoid(self._pooled(prompts) @ self.head["weight"].T + self.head["bias"]).numpy()

    def _pooled(self, prompts: list[str]) -> Any:
        tokens = self.tokenizer(prompts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return self.torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    def vector(self, prompt: str) -> list[float]:
        with self.torch.inference_mode():
            vector: list[float] = self._pooled([prompt])[0].tolist()
            return vector
