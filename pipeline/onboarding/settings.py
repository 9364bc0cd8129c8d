"""The section `aptitude_run` of params.yaml: where a new candidate is reached, and how it is asked."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.params import Section


class AptitudeRunParams(Section):
    """Settings of `switchtender aptitude run`, whose options override them; `params.yaml` explains each."""

    endpoint: str = ""
    key: str = ""
    per_minute: float = Field(default=60.0, gt=0)
    max_tokens: int = Field(default=1024, ge=0)
    timeout_seconds: float = Field(default=120.0, gt=0)
    tries: int = Field(default=8, ge=1)
