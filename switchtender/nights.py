"""Nights and how they ended, for the verbs that run one: `nightly`, `candidate add` and `aptitude import`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.runtime.errors import GateNotPassed, SwitchtenderError, refused_by_the_system
from switchtender.show import print_gates, print_json, say, say_aside

if TYPE_CHECKING:
    from flows.workspace.project import Project
    from flows.workspace.runs import Run
    from pipeline.gating.results import GateResult


def run_nights(projects: Sequence[Project], as_json: bool, about: Mapping[str, object] | None = None) -> None:
    """A night for each, and what came of it; as JSON together with the facts `about` why it ran.

    One that fails leaves the next its own. A gate that did not pass ends with exit code 3, also when nothing was new.

    Raises:
        SwitchtenderError: what went wrong first; the rest is told on stderr.
    """
    from flows.night.prefect_server import one_server
    from pipeline.runtime.plain import plain

    found: list[NightEnded] = []
    wrong: list[SwitchtenderError] = []
    with one_server():
        for project in projects:
            try:
                found.append(_night(project, as_json))
                wrong += _closed(found[-1])
            except SwitchtenderError as error:
                wrong.append(error)
            except OSError as error:
                wrong.append(refused_by_the_system(error))
    if as_json:
        print_json({**(about or {}), "nights": plain(found)})
    for other in wrong[1:]:
        say_aside(f"switchtender: {other}")
    if wrong:
        raise wrong[0]


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


def _night(project: Project, as_json: bool) -> NightEnded:
    """Run a night, print how it ended unless JSON is wanted, and return it."""
    from flows.night.nightly import night

    outcome = night(project, say_aside if as_json else say, echo=sys.stderr.isatty())
    ended = _ended(project, outcome.run, outcome.new)
    if not as_json:
        _print(ended)
    return ended


def _closed(ended: NightEnded) -> list[SwitchtenderError]:
    """One error where a gate did not pass."""
    from pipeline.gating.results import PASSED

    if ended.verdict == PASSED:
        return []
    closed = ", ".join(gate.gate for gate in ended.gates if not gate.passed)
    word = "" if ended.new else "nothing new since; "
    return [GateNotPassed(f"{word}{ended.run_key}: gate not passed: {closed}; see {ended.report}")]


def _ended(project: Project, run: Run, new: bool) -> NightEnded:
    """A finished night; its gates are read from its clone."""
    from flows.workspace.runs import clone_of
    from pipeline.gating.results import parse_verdict
    from pipeline.runtime.tables import read_json

    clone = clone_of(project, run.key)
    return NightEnded(
        track=project.track.name,
        run_key=run.key,
        new=new,
        verdict=run.verdict,
        version=run.version or None,
        gates=parse_verdict(read_json(clone / project.track.stages / "gate" / "verdict.json")).gates,
        report=run.report,
        data_docs=str((clone / project.track.data_docs).relative_to(project.root)),
        commit=run.commit,
    )


def _print(ended: NightEnded) -> None:
    key = ended.run_key
    if not ended.new:
        say(f"Nothing new since {key}: data, reviews, agents, params, code and environment are unchanged.")
        say("Trained nothing, registered nothing.")
    print_gates(f"Gates of {key}", ended.gates)
    say(f"version    {ended.version or 'none registered'}")
    say(f"report     {ended.report}")
    say(f"data docs  {ended.data_docs}")
    say(f"trained    commit {ended.commit[:12]} (refs/switchtender/runs/{key})")
