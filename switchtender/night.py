"""`nightly`: run a night and show how it ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flows.night.prefect_server import one_server
from flows.workspace.project import Project, find_project
from flows.workspace.runs import Run, clone_of
from pipeline.runtime.errors import EXIT_DONE, GateNotPassed, SwitchtenderError
from switchtender.show import print_json, print_table, say

PASSED = "passed"


def print_night(as_json: bool, dry_run: bool, track: str = "") -> None:
    """Run a night of each track, or of the one that `track` names; one that fails leaves the next its own.

    A gate that did not pass ends it with exit code 3, also when nothing was new.

    Raises:
        SwitchtenderError: what went wrong first; the rest is told on stderr.
    """
    from flows.night.nightly import tracks

    project = find_project(track=track)
    project.enter_environment()
    seen = (project,) if track else tracks(project)
    if dry_run:
        _print_plans(seen, as_json)
        return
    run_nights(seen, as_json)
    sys.exit(EXIT_DONE)


def run_nights(seen: Sequence[Project], as_json: bool, about: Mapping[str, Any] | None = None) -> None:
    """A night for each, and what came of it; as JSON together with the facts `about` why it ran.

    Raises:
        SwitchtenderError: as for `print_night`.
    """
    found: list[dict[str, Any]] = []
    wrong: list[SwitchtenderError] = []
    with one_server():
        for one in seen:
            try:
                found.append(_night(one, as_json))
                wrong += _closed(found[-1])
            except SwitchtenderError as error:
                wrong.append(error)
    if as_json:
        print_json({**(about or {}), "nights": found})
    for other in wrong[1:]:
        print(f"switchtender: {other}", file=sys.stderr)
    if wrong:
        raise wrong[0]


def _night(project: Project, as_json: bool) -> dict[str, Any]:
    from flows.night.nightly import night

    tell = (lambda line: print(line, file=sys.stderr, flush=True)) if as_json else say
    outcome = night(project, tell, echo=sys.stderr.isatty())
    if not as_json:
        _print(project, outcome.run, outcome.new)
    return facts_of(project, outcome.run, outcome.new)


def _closed(facts: dict[str, Any]) -> list[SwitchtenderError]:
    """One error where a gate did not pass."""
    closed = [gate["gate"] for gate in facts["gates"] if gate["verdict"] != PASSED]
    if facts["verdict"] == PASSED:
        return []
    word = "" if facts["new"] else "nothing new since; "
    return [GateNotPassed(f"{word}{facts['run_key']}: gate not passed: {', '.join(closed)}; see {facts['report']}")]


def gates_of(project: Project, run: Run) -> list[dict[str, Any]]:
    """The gates of a finished run, from its clone."""
    path = clone_of(project, run.key) / project.track.stages / "gate" / "verdict.json"
    gates: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["gates"]
    return gates


def facts_of(project: Project, run: Run, new: bool) -> dict[str, Any]:
    """A finished night as JSON."""
    return {
        "track": project.track.name,
        "run_key": run.key,
        "new": new,
        "verdict": run.verdict,
        "version": run.version or None,
        "gates": gates_of(project, run),
        "report": run.report,
        "data_docs": str((clone_of(project, run.key) / project.track.data_docs).relative_to(project.root)),
        "commit": run.commit,
    }


def _print(project: Project, run: Run, new: bool) -> None:
    facts = facts_of(project, run, new)
    if not new:
        say(f"Nothing new since {run.key}: data, reviews, agents, params, code and environment are unchanged.")
        say("Trained nothing, registered nothing.")
    rows = [[g["gate"], g["value"], g["limit"], g["verdict"], g["reason"]] for g in facts["gates"]]
    print_table(f"Gates of {run.key}", ["gate", "value", "limit", "verdict", "reason"], rows)
    say(f"version    {run.version or 'none registered'}")
    say(f"report     {facts['report']}")
    say(f"data docs  {facts['data_docs']}")
    say(f"trained    commit {run.commit[:12]} (refs/switchtender/runs/{run.key})")


def _print_plans(seen: Sequence[Project], as_json: bool) -> None:
    plans = [_plan(project) for project in seen]
    if as_json:
        print_json({"nights": plans})
        return
    for plan in plans:
        word = "retrain" if plan["would_run"] else "do nothing: nothing is new"
        say(f"A night would {word} ({plan['track']}); last finished: {plan['last_finished']}.")
        say(f"Uncommitted data it would take along: {', '.join(plan['uncommitted']) or 'none'}.")


def _plan(project: Project) -> dict[str, Any]:
    from flows.workspace import runs, snapshot

    identity = snapshot.identify(project)
    before = runs.latest_finished(project)
    return {
        "track": project.track.name,
        "would_run": before is None or before.identity != identity.digest,
        "last_finished": before.key if before else None,
        "uncommitted": snapshot.uncommitted_data(project),
        "identity": identity.digest,
    }
