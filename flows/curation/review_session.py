"""One person's walk through the suspects: decisions one by one, the latest undone first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import add_decision, decided_by, require_possible, suspects_of, take_back
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.data.label_suspects import LabelDecision, Suspect, Suspects
from pipeline.runtime.errors import InputError


class ReviewSession:
    """Decisions on a project's suspects; a rehearsal holds each against the same rules, and writes nothing."""

    def __init__(self, project: Project, *, rehearsal: bool = False) -> None:
        self._project = project
        self._rehearsal = rehearsal
        self._dataset = DatasetCache(project)
        self._rehearsed: list[LabelDecision] = []

    def known(self) -> Suspects:
        """The suspects as they are now, with what was decided; raises as `suspects_of`."""
        known = suspects_of(self._project, self._dataset)
        if not self._rehearsal:
            return known
        made = {decision.prompt_id: decision.decision for decision in self._rehearsed}
        shown = (replace(one, decision=made.get(one.prompt_id, one.decision)) for one in known.all)
        return replace(known, all=tuple(shown))

    def decide(self, suspect: Suspect, decision: str, agents: Sequence[str], note: str) -> LabelDecision:
        """Decide on a suspect as it was shown; raises as `Suspect.decided` and `add_decision`."""
        made = suspect.decided(decision, agents, "", note, suspect.decision)
        if self._rehearsal:
            require_possible(self._project, self._dataset, made)
            self._rehearsed.append(made)
        else:
            add_decision(self._project, self._dataset, made, runs.now()[:10])
        return made

    def undo(self) -> LabelDecision:
        """Take back the person's latest decision since the night that still stands, in this walk or before; return it.

        Raises:
            InputError: there is none, or somebody else has decided on its row meanwhile.
        """
        made = self._rehearsed if self._rehearsal else list(decided_by(self._project, self._dataset, ""))
        if not made:
            raise InputError("nothing is left to undo: since the latest night you have decided nothing else")
        last = made.pop()
        if not self._rehearsal:
            take_back(self._project, last)
        return last
