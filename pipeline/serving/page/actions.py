"""What the page can do besides asking the engine: one protocol over plain facts, so that the page knows no registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.data.label_suspects import LabelDecision, Suspects
from pipeline.gating.results import GateResult
from pipeline.reports.night_history import NightHistory
from pipeline.runtime.arrays import FloatMatrix
from pipeline.serving.engine.traffic import Span, Traffic
from pipeline.versions.audit import Audit
from pipeline.versions.diff import VersionDiff

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Hint:
    """Feedback that was sent on an answer: not a label, but a place to look.

    `right` are the agents said to be right, `chosen` what the service had chosen; `prompt` is the text where it was
    logged or is in the dataset, there as `row`.
    """

    at: str
    by: str
    request_id: str
    version: str
    verdict: str
    right: tuple[str, ...]
    chosen: tuple[str, ...]
    note: str
    prompt: str
    row: str


def closed(gates: tuple[GateResult, ...]) -> tuple[str, ...]:
    """The gates that did not pass, by name."""
    return tuple(gate.gate for gate in gates if not gate.passed)


@dataclass(frozen=True)
class VersionRow:
    """A registered version as the list shows it. `roles` are its aliases, `champion` by the promotion log.

    `figure` is that of the track's headline, None where none was recorded; `interval` are its bounds (95 %), None where
    the version's folder is not on this machine or cannot be read.
    """

    version: str
    roles: tuple[str, ...]
    run_key: str
    train_rows: int
    figure: float | None
    interval: tuple[float, float] | None
    gates: tuple[GateResult, ...]
    note: str = ""


@dataclass(frozen=True)
class VersionMove:
    """What a promotion or a rollback does, or would do. `refusal` says why it may not be done; empty where it may."""

    version_from: str
    version_to: str
    gates: tuple[GateResult, ...] = ()
    refusal: str = ""

    @property
    def ends(self) -> tuple[str, str]:
        """From and to."""
        return self.version_from, self.version_to


@dataclass(frozen=True)
class NightRehearsal:
    """What a night that is asked for would do. `is_new` has each track, and whether anything is new there."""

    is_new: dict[str, bool]
    waits: bool


@dataclass(frozen=True)
class TracedRow:
    """A row in one version. `through` names the augmented row by which it taught, empty where it did so itself."""

    version: str
    split: str
    fate: str
    reason: str
    agents: tuple[str, ...]
    taught: bool
    through: str
    served: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trace:
    """Everything known of one row. `prompt` is its text where the dataset still has it; `serving` the version in
    service; `unknown` are versions of which nothing can be said any more."""

    asked: str
    prompt: str
    rows: tuple[TracedRow, ...]
    serving: str
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class HoldoutAnswers:
    """A version's answers on its holdout: n prompts, c candidates.

    `expected` and `quality` are float32 [n, c] in 0..1, what the router promised and what was true; `cost` is float32
    [n, c] in USD, NaN where unknown; `chosen` is 1.0 where the stored policy chose.
    """

    candidates: tuple[str, ...]
    expected: FloatMatrix
    quality: FloatMatrix
    cost: FloatMatrix
    chosen: FloatMatrix


class Actions(Protocol):
    """Every method raises SwitchtenderError (one clear line) where it cannot do or say what it is asked."""

    def texts(self, version: str, prompt_ids: Sequence[str]) -> dict[str, str]:
        """Texts by id, of those rows that the dataset still has with the text that taught the version."""

    def suspects(self) -> Suspects:
        """Label suspects of the latest night."""

    def decide(self, decision: LabelDecision) -> None:
        """Write a decision down for the next night. Decisions of several people at once are all kept."""

    def decided_by(self, reviewer: str) -> tuple[LabelDecision, ...]:
        """What a person has decided on those suspects since that night, as far as it stands, the latest last.

        `reviewer` is empty where nobody had to give a name.
        """

    def take_back(self, decision: LabelDecision) -> None:
        """Undo a decision that was written down, unless another one on the same row came after it."""

    def hints(self) -> tuple[Hint, ...]:
        """The latest feedback, newest first."""

    def versions(self) -> tuple[VersionRow, ...]:
        """Every registered version, newest first."""

    def compare(self, older: str, newer: str) -> VersionDiff:
        """What differs between two versions, as `switchtender diff --json` gives it."""

    def rehearse_promotion(self, version: str, reason: str) -> VersionMove:
        """What promoting would do: bytes proved, gates read again; nothing changes. A closed gate is a refusal."""

    def promote(self, shown: VersionMove, reason: str, who: str) -> VersionMove:
        """Make the promotion that was shown, and no other; `who` is empty where nobody had to give a name."""

    def rehearse_rollback(self, reason: str) -> VersionMove:
        """What going back would do; nothing changes."""

    def rollback(self, shown: VersionMove, reason: str, who: str) -> VersionMove:
        """Go back as it was shown, and to no other version; `who` likewise."""

    def audit(self, version: str) -> Audit:
        """Everything about one version, by number or alias."""

    def trace(self, row: str) -> Trace:
        """A row in every version that knew it, by id or by exact text."""

    def nights(self, most: int) -> NightHistory:
        """The latest nights of both tracks, newest first."""

    def nights_stamp(self) -> str:
        """What differs once a night has begun or ended, or a version went into service; quick to ask."""

    def night_document(self, run_key: str, path: str) -> bytes:
        """The bytes of one of a night's documents, by its path from the run's folder."""

    def rehearse_night(self, tracks: Sequence[str]) -> NightRehearsal:
        """What a night of these tracks would do; of those of params.yaml where none is named. Nothing starts."""

    def start_night(self, tracks: Sequence[str], who: str) -> None:
        """Ask the schedule for that night; `who` is empty where nobody had to give a name."""

    def traffic(self, span: Span) -> Traffic:
        """What the track's services were asked and decided in a time up to now, from their journal."""

    def holdout(self, version: str) -> HoldoutAnswers:
        """A version's answers on its holdout, with what each candidate costs."""
