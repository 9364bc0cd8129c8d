"""Who is measured: this project's systems at their defaults, variants of them, and peers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.encoders.e5.packaged import E5_SMALL
from pipeline.encoders.encoder_files import BUNDLED
from pipeline.routers.base.settings import FinetuningParams

CLASSIFIER, LINEAR, TFIDF = "classifier", "linear", "tfidf"
SYSTEMS = (CLASSIFIER, LINEAR, TFIDF, "setfit", "semantic-router", "trainer")
PARTS = ("systems", "peers", "ablations", "encoders")


@dataclass(frozen=True)
class Contender:
    """A system with its settings, and the tables that it is measured on: without any, all."""

    system: str
    settings: dict[str, Any]
    name: str
    tables: Sequence[str] = ()
    is_peer: bool = False
    is_reworded: bool = False

    def is_measured_on(self, table: str) -> bool:
        return not self.tables or table in self.tables


@dataclass(frozen=True)
class Plan:
    """What is measured, by the part of the page that shows it."""

    epochs: int | None = None
    parts: Sequence[str] = field(default=PARTS)

    def contenders(self) -> Iterator[tuple[str, Contender]]:
        makers = {"systems": self.own, "peers": self.peers, "ablations": self.ablations, "encoders": self.encoders}
        for part in self.parts:
            for contender in makers[part]():
                yield part, contender

    def own(self) -> Iterator[Contender]:
        yield self._own(CLASSIFIER, "**classifier**", is_reworded=True)
        yield self._own(LINEAR, "frozen encoder + logistic regression", is_reworded=True)
        yield self._own(TFIDF, "TF-IDF + logistic regression")

    def ablations(self) -> Iterator[Contender]:
        for name, value in _ABLATIONS:
            if getattr(FinetuningParams(), name) != value:
                yield self._own(CLASSIFIER, f"{name}: {value}", ("clinc",), **{name: value})

    def encoders(self) -> Iterator[Contender]:
        for system in (CLASSIFIER, LINEAR):
            yield self._own(system, f"{system}, {E5_SMALL}", _OF_SOME_500, encoder=E5_SMALL)

    def peers(self) -> Iterator[Contender]:
        steps = self.epochs or 300
        yield Contender("setfit", {"steps": steps}, f"SetFit, {steps} steps", is_peer=True)
        yield Contender("semantic-router", {}, "semantic-router", is_peer=True)
        rates = {"learning_rate": 4e-4, "layer_decay": 0.75, "head_learning_rate": 5e-3}
        plain = {"epochs": self.epochs or 12, **rates}
        yield Contender("trainer", {"held_out": False, **plain}, "plain fine-tuning, threshold .5", is_peer=True)
        name = "plain fine-tuning, threshold from held-out folds"
        yield Contender("trainer", {"held_out": True, **plain}, name, _WITH_THRESHOLDS, is_peer=True)

    def _own(
        self, system: str, name: str, tables: Sequence[str] = (), is_reworded: bool = False, **changed: Any
    ) -> Contender:
        settings = {"encoder": BUNDLED, **changed}
        if system == CLASSIFIER:
            short = {"epochs": self.epochs} if self.epochs else {}
            params = FinetuningParams.model_validate({**short, **changed})
            settings = params.model_dump(exclude=_APART)
        return Contender(system, settings, name, tables, is_reworded=is_reworded)


_APART = {"tags", "tasks", "aptitude", "ablation"}
"""Settings of other systems, or of reports alone: what changes there does not make a measurement another."""
_OF_SOME_500 = ("clinc", "banking77-500", "clinc_domains-500")
_WITH_THRESHOLDS = ("clinc", "nlupp", "clinc_domains-500")
"""Where a peer's threshold is chosen on held-out folds, by three fits more; for classes there is none."""
_ABLATIONS: tuple[tuple[str, Any], ...] = (
    ("names", 0.0),
    ("compose", 0.0),
    ("refuse", 0.0),
    ("retype", 0.0),
    ("networks", 1),
    ("epochs", 6),
    ("layer_decay", 0.75),
    ("layer_decay", 1.0),
    ("pos_weight_power", 0.5),
    ("precision", "fp32"),
)
