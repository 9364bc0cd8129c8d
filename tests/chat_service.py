"""The chat endpoint at an address of its own, over upstreams of tests/stub_upstreams.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from openai import AsyncOpenAI, OpenAI
from stub_upstreams import Stub

from pipeline.serving.chat.exchange import FailedAttempt

SECRET = "not-a-real-key-8c1f"
PROMPT = "Translate my diary into Dutch."
MESSAGES: list[Any] = [{"role": "user", "content": PROMPT}]


@dataclass
class Service:
    """Our application at an address, and what it told those whom it tells."""

    url: str = ""
    prompts: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, str | None, tuple[FailedAttempt, ...]]] = field(default_factory=list)

    def client(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key="ours", max_retries=0, timeout=20)

    def async_client(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key="ours", max_retries=0, timeout=20)

    def post(self, **body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/chat/completions", json={"messages": MESSAGES} | body, timeout=20)


Start = Callable[..., Service]


def entry_of(stub: Stub, kind: str) -> str:
    base = "http://127.0.0.1:1/v1" if kind == "down" else stub.base(kind)
    if kind == "anthropic":
        return f"model: anthropic/claude-3-haiku-20240307, api_base: '{base[:-3]}', api_key_env: STUB_KEY"
    # `stalls` must say its first word in time even where other processes take the cores.
    seconds = {"slow": 0.4, "trickles": 0.4, "stalls": 3}.get(kind, 15)
    return f"model: openai/stub, api_base: '{base}', api_key_env: STUB_KEY, timeout_seconds: {seconds}"
