"""Contenders that live in the peers' own environment (peers.txt), on the same weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.contender import BATCH, SETFIT, Contender, Setup


def load(setup: Setup) -> Contender:
    """The contender that the setup names."""
    import torch

    torch.set_num_threads(setup.threads)
    return SetFit(setup) if setup.contender == SETFIT else SemanticRouter(setup)


def sentence_transformer(encoder: str, width: int, max_tokens: int) -> Any:
    """The encoder in a folder as sentence-transformers reads it: mean of the tokens, unit vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(encoder, max_seq_length=max_tokens)
    return SentenceTransformer(modules=[transformer, Pooling(width, pooling_mode="mean"), Normalize()], device="cpu")


class SetFit:
    """`SetFitModel.predict`: the encoder as its body, the router's own linear layer as its differentiable head.

    That head is faster than the logistic regressions that are its default.
    """

    def __init__(self, setup: Setup) -> None:
        import torch
        from safetensors.torch import load_file
        from setfit import SetFitModel  # type: ignore[import-not-found]
        from setfit.modeling import SetFitHead  # type: ignore[import-not-found]

        weights = load_file(setup.head)
        outputs, width = weights["weight"].shape
        body = sentence_transformer(setup.encoder, width, setup.max_tokens)
        head = SetFitHead(width, outputs, multitarget=True, device="cpu")
        with torch.no_grad():
            head.linear.weight.copy_(weights["weight"])
            head.linear.bias.copy_(weights["bias"])
        self.model = SetFitModel(model_body=body, model_head=head, multi_target_strategy="one-vs-rest")

    def prepare(self, prompts: Sequence[str]) -> list[str]:
        return list(prompts)

    def answer(self, prepared: list[str]) -> object:
        return self.model.predict(prepared, batch_size=BATCH, show_progress_bar=False)

    def vector(self, prompt: str) -> list[float]:
        return [float(value) for value in self.model.model_body.encode([prompt], show_progress_bar=False)[0]]


class SemanticRouter:
    """`IndexedRouter` over the training prompts, a route an agent, with its local encoder and index in memory.

    It has no call for several prompts, so a batch is one call after another.
    """

    def __init__(self, setup: Setup) -> None:
        from semantic_router import IndexedRouter  # type: ignore[import-not-found]
        from semantic_router.encoders import HuggingFaceEncoder  # type: ignore[import-not-found]
        from semantic_router.index import LocalIndex  # type: ignore[import-not-found]

        self.encoder = HuggingFaceEncoder(name=setup.encoder, device="cpu")
        rows: dict[str, list[str]] = json.loads(Path(setup.rows).read_text(encoding="utf-8"))
        texts = sorted(rows, key=len)
        vectors = dict(zip(texts, self.encoder(texts), strict=True))
        pairs = [(agent, text) for text, agents in rows.items() for agent in agents]
        index = LocalIndex()
        index.add([vectors[text] for _, text in pairs], [agent for agent, _ in pairs], [text for _, text in pairs])
        self.router: Any = IndexedRouter(encoder=self.encoder, index=index)

    def prepare(self, prompts: Sequence[str]) -> list[str]:
        return list(prompts)

    def answer(self, prepared: list[str]) -> object:
        return [self.router(prompt, limit=None, threshold=0.0) for prompt in prepared]

    def vector(self, prompt: str) -> list[float]:
        return [float(value) for value in self.encoder([prompt])[0]]
