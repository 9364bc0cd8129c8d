"""How a night of a track ended, as the command line, Prefect's page and the log of nights tell it."""

from __future__ import annotations

from dataclasses import dataclass

from flows.workspace.night_log import GATE_CLOSED, NOTHING_NEW, REGISTERED
from flows.workspace.project import Project
from flows.workspace.runs import Run, clone_of
from pipeline.gating.results import PASSED, GateResult, parse_verdict
from pipeline.runtime.tables import read_json


@dataclass(frozen=True)
class NightEnded:
    """How a finished night ended, and with which gates; `new` is False where nothing was new since an earlier one."""

    track: str
    run_key: str
    new: bool
    verdict: str
    version: str | None
    gates: tuple[GateResult, ...]
    report: str
    data_docs: str
    commit: str

    @property
    def passed(self) -> bool:
        return self.verdict == PASSED

    @property
    def result(self) -> str:
        """The word of the log of nights. A closed gate stays one as long as nothing is new."""
        if not self.passed:
            return GATE_CLOSED
        return REGISTERED if self.new else NOTHING_NEW

    @property
    def reason(self) -> str:
        """Which gates did not pass, or since when nothing was new; one line."""
        word = "" if self.new else f"nothing new since {self.run_key}"
        if self.passed:
            return word
        closed = f"gate not passed: {', '.join(gate.gate for gate in self.gates if not gate.passed)}"
        return f"{word}; {closed}" if word else closed


def ended(project: Project, run: Run, new: bool) -> NightEnded:
    """A finished night; its gates are read from its clone."""
    clone = clone_of(project, run.key)
    return NightEnded(
        track=project.track.name,
        run_key=run.key,
        new=new,
        verdict=run.verdict,
        version=run.version or None,
        gates=gates_of(project, run),
        report=run.report,
        data_docs=str((clone / project.track.data_docs).relative_to(project.root)),
        commit=run.commit,
    )


def gates_of(project: Project, run: Run) -> tuple[GateResult, ...]:
    """The gates' results as the stage of that name wrote them into a run's clone."""
    return parse_verdict(read_json(clone_of(project, run.key) / project.track.stages / "gate" / "verdict.json")).gates
