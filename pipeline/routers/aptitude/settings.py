"""What the system `aptitude` can be told. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.runtime.params import Section


class AptitudeParams(Section):
    """The size of the test, and who reads it.

    The test has at most `tasks` x `shots` items and at most `share` of the train prompts; fewer tasks before fewer
    shots. `lean` reads it with a small cross-attention scorer; `full` with a causal language model and a capability
    encoder, each by name or path, for at most `steps` steps of training. `facts` are free text about candidates, by
    their names, which `full` reads besides the test. `loss` is `pointwise` (yes or no), or `group`: one handled and k-1
    mishandled prompts for one capability, after which candidates' scores are comparable only by calibration.
    """

    variant: Literal["lean", "full"] = "lean"
    tasks: int = Field(default=50, ge=1)
    shots: int = Field(default=20, ge=1)
    share: float = Field(default=0.25, gt=0, lt=1)
    virtual: int = Field(default=8, ge=0)
    loss: Literal["pointwise", "group"] = "pointwise"
    group: int = Field(default=4, ge=2)
    capability_encoder: str = "minilm"
    language_model: str = "smollm2"
    model_tokens: int = Field(default=128, ge=16, le=4096)
    steps: int = Field(default=300, ge=1)
    facts: dict[str, str] = Field(default_factory=dict)
