"""What a router can be told. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from pipeline.routers.aptitude.settings import AptitudeParams
from pipeline.routers.tags.settings import TagsParams
from pipeline.runtime.params import Section

Progress = Callable[[str], None]
"""Called once a step with a short description of where the training is."""


class FinetuningParams(Section):
    """How an encoder is fine-tuned; `tags` and `aptitude` are for the systems of these names."""

    encoder: str = "minilm"
    max_tokens: int = Field(default=128, ge=8, le=4096)
    epochs: int = Field(default=10, ge=1)
    max_steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=4e-4, gt=0)
    layer_decay: float = Field(default=0.8, gt=0, le=1)
    head_learning_rate: float = Field(default=5e-3, gt=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    encoder_dropout: float = Field(default=0.1, ge=0, lt=1)
    pos_weight_power: float = Field(default=0.5, ge=0, le=1)
    patience: int = Field(default=2, ge=1)
    folds: int = Field(default=3, ge=2)
    scale: float = Field(default=20.0, gt=0)
    tags: TagsParams = TagsParams()
    aptitude: AptitudeParams = AptitudeParams()


def planned_epochs(rows: int, params: FinetuningParams) -> int:
    """The epochs that the step budget allows, at least one."""
    steps = -(-rows // params.batch_size)
    return max(1, min(params.epochs, params.max_steps // steps))
