"""What every contender is asked, in any environment: nothing here needs more than Python."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

ENGINE_INT8, ENGINE_FP32, BARE = "engine, int8", "engine, fp32", "bare ONNX Runtime, int8"
TORCH, TORCH_SORTED = "torch eager", "torch eager, sorted by length"
SETFIT, SEMANTIC_ROUTER = "setfit", "semantic-router"
PEERS = (SETFIT, SEMANTIC_ROUTER)
BATCH = 32


@dataclass(frozen=True)
class Setup:
    """Who runs, on how many CPU threads, and with what.

    `model` is a router's folder, `encoder` its torch weights, `head` a safetensors file with the linear layer on unit
    vectors (`weight`, `bias`); `rows` a JSON file of prompts and their agents; the encoder reads `max_tokens` at once.
    """

    contender: str
    threads: int
    model: str
    encoder: str
    head: str
    rows: str
    max_tokens: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setup:
        return cls(**json.loads(text))


class Contender(Protocol):
    """Something that routes prompts."""

    def prepare(self, prompts: Sequence[str]) -> Any:
        """What `answer` is given; this part is not timed."""

    def answer(self, prepared: Any) -> object:
        """All prompts, as fast as it can; this part is timed."""

    def vector(self, prompt: str) -> list[float]:
        """The prompt's embedding, which shows that the weights are the same."""
