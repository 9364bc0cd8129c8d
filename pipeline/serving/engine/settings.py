"""The section `serve` of params.yaml: where the service listens, and how much it takes on."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.params import Section


class ServeParams(Section):
    """Settings of the service; `params.yaml` explains each. Options of `switchtender serve` override them.

    Of `cache_bytes` a half is for scores of the version that answers, and an eighth each for those of the page's other
    track, for answers that feedback may come to, for what open pages show, and for what versions recorded.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8400, ge=0, le=65535)
    keys: str = ""
    threads: int = Field(default=2, ge=1)
    poll_seconds: float = Field(default=2.0, gt=0)
    cache_bytes: int = Field(default=64_000_000, ge=0)
    max_body_bytes: int = Field(default=1_000_000, ge=1)
    max_chat_body_bytes: int = Field(default=10_000_000, ge=1)
    max_prompt_characters: int = Field(default=100_000, ge=1)
    max_prompts: int = Field(default=256, ge=1)
    seconds_per_request: float = Field(default=30.0, gt=0)
    seconds_per_header: float = Field(default=10.0, gt=0)
    concurrent_requests: int = Field(default=64, ge=1)
    connections: int = Field(default=1000, ge=1)
    connections_per_address: int = Field(default=250, ge=1)
    log_prompts: bool = False
    upstreams: str = ""
    pool: str = ""
    page: bool = True
