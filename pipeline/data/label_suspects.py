"""Labels that look wrong, and what people decide on them; `pipeline.data.label_reviews` is where decisions are kept.

A decision is on the row that a person was shown, and on no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data.label_reviews import DROP, KEEP, RELABEL
from pipeline.runtime.errors import InputError

MOST_NOTE = 500
"""Characters of a note."""
NO_LABELS = (
    "Labels are reviewed on the agents' track. A router to language models learns from graded outcomes, which no night "
    "doubts; a wrong grade is mended in the table of outcomes."
)
_TOLD = {KEEP: "kept as it is", DROP: "dropped", RELABEL: "relabelled to "}


@dataclass(frozen=True)
class LabelDecision:
    """One decision of a person: keep, relabel (with the right `agents`) or drop.

    `reviewer` is empty where nobody had to give a name. `seen` is the decision on that text which the person was
    shown; a later one by somebody else is not overridden.
    """

    prompt_id: str
    text_sha256: str
    decision: str
    agents: tuple[str, ...]
    reviewer: str
    note: str
    seen: str = ""

    @property
    def told(self) -> str:
        """It in a few words, as what became of the row."""
        return _TOLD[self.decision] + ", ".join(self.agents)


@dataclass(frozen=True)
class Suspect:
    """A label that looks wrong, with the evidence of the night that listed it (`pipeline.stages.suspects`).

    `agents` is the label given, `suggested` what it should be if it is wrong; `doubted` and `missing` are
    `agent probability` pairs as text; `quality` is the probability that it is right. `decision` is what a person has
    decided on this very text, empty where nobody has.
    """

    rank: int
    prompt_id: str
    text_sha256: str
    prompt: str
    agents: tuple[str, ...]
    suggested: tuple[str, ...]
    quality: float
    doubted: str
    missing: str
    decision: str
    reviewer: str

    @property
    def likely(self) -> tuple[str, ...]:
        """The label that a person is offered first."""
        return self.suggested or self.agents

    def decided(self, decision: str, agents: Sequence[str], reviewer: str, note: str, seen: str) -> LabelDecision:
        """A decision on it, as it can be written down; only a relabelling takes `agents` along.

        Raises:
            InputError: a relabelling names no agent, or those that the label has already; or the note is too long.
        """
        if len(note) > MOST_NOTE:
            raise InputError(f"the note has {len(note)} characters, over the limit of {MOST_NOTE}; shorten it")
        label = tuple(agents) if decision == RELABEL else ()
        if decision == RELABEL and not label:
            raise InputError("a label names at least one agent; choose them, or drop the row with d")
        if decision == RELABEL and set(label) == set(self.agents):
            raise InputError("that is the label it has; choose the right agents, or keep it with k")
        return LabelDecision(self.prompt_id, self.text_sha256, decision, label, reviewer, note, seen)


@dataclass(frozen=True)
class Suspects:
    """One night's suspects, the least credible first. `gone` counts rows that the dataset no longer has as they were.

    `agents` are the names that a label may have, in the dataset's order.
    """

    night: str
    all: tuple[Suspect, ...]
    gone: int
    agents: tuple[str, ...]

    @property
    def left(self) -> tuple[Suspect, ...]:
        """Those that nobody has decided on."""
        return tuple(suspect for suspect in self.all if not suspect.decision)

    def with_text(self, prompt_id: str, text_sha256: str) -> Suspect | None:
        """The suspect of that id, if it still has that text."""
        key = prompt_id, text_sha256
        return next((suspect for suspect in self.all if (suspect.prompt_id, suspect.text_sha256) == key), None)

    def beside(self, rank: int, step: int) -> Suspect | None:
        """The nearest one left above or below a rank, around the end; the same where it is alone, None where none."""
        left = self.left if step > 0 else self.left[::-1]
        return next((other for other in left if (other.rank - rank) * step > 0), next(iter(left), None))
