"""Nights and how they ended, for the verbs that run one: `nightly`, `candidate add` and `aptitude import`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.runtime.errors import GateNotPassed, SwitchtenderError
from switchtender.show import print_gates, print_json, say, say_aside

if TYPE_CHECKING:
    from flows.workspace.project import Project
    from flows.workspace.runs import Run

PASSED = "passed"


def run_nights(projects: Sequence[Project], as_json: bool, about: Mapping[str, Any] | None = None) -> None:
    """A night for each, and what came of it; as JSON together with the facts `about` why it ran.

    One that fails leaves the next its own. A gate that did not pass ends with exit code 3, also when nothing was new.

    Raises:
        SwitchtenderError: what went wrong first; the rest is told on stderr.
    """
    from flows.night.prefect_server import one_server

    found: list[dict[str, Any]] = []
    wrong: list[SwitchtenderError] = []
    with one_server():
        for project in projects:
            try:
                found.append(_night(project, as_json))
                wrong += _closed(found[-1])
            except SwitchtenderError as error:
                wrong.append(error)
    if as_json:
        print_json({**(about or {}), "nights": found})
    for other in wrong[1:]:
        say_aside(f"switchtender: {other}")
    if wrong:
        raise wrong[0]


def _night(project: Project, as_json: bool) -> dict[str, Any]:
    """Run a night, print how it ended unless JSON is wanted, and return its facts."""
    from flows.night.nightly import night

    outcome = night(project, say_aside if as_json else say, echo=sys.stderr.isatty())
    facts = _facts(project, outcome.run, outcome.new)
    if not as_json:
        _print(facts)
    return facts


def _closed(facts: dict[str, Any]) -> list[SwitchtenderError]:
    """One error where a gate did not pass."""
    closed = [gate["gate"] for gate in facts["gates"] if gate["verdict"] != PASSED]
    if facts["verdict"] == PASSED:
        return []
    word = "" if facts["new"] else "nothing new since; "
    return [GateNotPassed(f"{word}{facts['run_key']}: gate not passed: {', '.join(closed)}; see {facts['report']}")]


def _facts(project: Project, run: Run, new: bool) -> dict[str, Any]:
    """A finished night as JSON; its gates are read from its clone."""
    from flows.workspace.runs import clone_of

    clone = clone_of(project, run.key)
    verdict = clone / project.track.stages / "gate" / "verdict.json"
    return {
        "track": project.track.name,
        "run_key": run.key,
        "new": new,
        "verdict": run.verdict,
        "version": run.version or None,
        "gates": json.loads(verdict.read_text(encoding="utf-8"))["gates"],
        "report": run.report,
        "data_docs": str((clone / project.track.data_docs).relative_to(project.root)),
        "commit": run.commit,
    }


def _print(facts: dict[str, Any]) -> None:
    key = facts["run_key"]
    if not facts["new"]:
        say(f"Nothing new since {key}: data, reviews, agents, params, code and environment are unchanged.")
        say("Trained nothing, registered nothing.")
    print_gates(f"Gates of {key}", facts["gates"])
    say(f"version    {facts['version'] or 'none registered'}")
    say(f"report     {facts['report']}")
    say(f"data docs  {facts['data_docs']}")
    say(f"trained    commit {facts['commit'][:12]} (refs/switchtender/runs/{key})")
