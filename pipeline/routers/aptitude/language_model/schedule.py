"""How the full reader is trained: how much at a step, in which stages, at which rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStage:
    """So many steps, on everything or on the connector alone."""

    everything: bool
    steps: int


@dataclass(frozen=True)
class TrainingSchedule:
    """Each step is one update on `batches` batches of `prompts` prompts each.

    `first` is the share of the steps in which the connector alone is trained. Learning rates rise over `warmup` of a
    stage's steps, then fall to nothing; they are larger on the connector and the encoder than on the language model.
    """

    batches: int = 1
    prompts: int = 6
    first: float = 1 / 3
    warmup: float = 0.1
    connector: float = 5e-3
    encoder: float = 4e-4
    adapters: float = 3e-4
    clip: float = 1.0

    def stages(self, steps: int) -> tuple[TrainingStage, TrainingStage]:
        """The connector alone, then everything; together `steps`."""
        first = int(steps * self.first)
        return TrainingStage(False, first), TrainingStage(True, steps - first)

    def rates(self, steps: int) -> Iterator[float]:
        """The part of the full learning rate at each step of a stage."""
        warmup = max(1, int(self.warmup * steps))
        for step in range(steps):
            yield min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
