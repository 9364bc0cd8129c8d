"""`nightly`: run a night and show how it ended."""

from __future__ import annotations

import json
import sys
from typing import Any

from flows.project import Project, find_project
from flows.runs import Run, clone_of
from pipeline.errors import EXIT_DONE, GateNotPassed
from switchtender.show import print_json, print_table, say


def print_night(as_json: bool, dry_run: bool) -> None:
    """Run a night; a gate that did not pass ends it with exit code 3, also when nothing was new."""
    project = find_project()
    project.enter_environment()
    if dry_run:
        _print_plan(project, as_json)
        return
    from flows.nightly import night

    tell = (lambda line: print(line, file=sys.stderr, flush=True)) if as_json else say
    outcome = night(project, tell, echo=sys.stderr.isatty())
    if as_json:
        print_json(facts_of(project, outcome.run, outcome.new))
    else:
        _print(project, outcome.run, outcome.new)
    if outcome.run.verdict != "passed":
        closed = [gate["gate"] for gate in gates_of(project, outcome.run) if gate["verdict"] != "passed"]
        word = "" if outcome.new else "nothing new since; "
        raise GateNotPassed(f"{word}{outcome.run.key}: gate not passed: {', '.join(closed)}; see {outcome.run.report}")
    sys.exit(EXIT_DONE)


def gates_of(project: Project, run: Run) -> list[dict[str, Any]]:
    """The gates of a finished run, from its clone."""
    path = clone_of(project, run.key) / "var" / "stages" / "gate" / "verdict.json"
    gates: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["gates"]
    return gates


def facts_of(project: Project, run: Run, new: bool) -> dict[str, Any]:
    """A finished night as JSON."""
    return {
        "run_key": run.key,
        "new": new,
        "verdict": run.verdict,
        "version": run.version or None,
        "gates": gates_of(project, run),
        "report": run.report,
        "data_docs": str((clone_of(project, run.key) / "var/reports/data_docs/index.html").relative_to(project.root)),
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


def _print_plan(project: Project, as_json: bool) -> None:
    from flows import runs, snapshot

    identity = snapshot.identify(project)
    before = runs.latest_finished(project)
    new = before is None or before.identity != identity.digest
    uncommitted = snapshot.uncommitted_data(project)
    facts = {
        "would_run": new,
        "last_finished": before.key if before else None,
        "uncommitted": uncommitted,
        "identity": identity.digest,
    }
    if as_json:
        print_json(facts)
    else:
        plan = "retrain" if new else "do nothing: nothing is new"
        say(f"A night would {plan}; last finished: {facts['last_finished']}.")
        say(f"Uncommitted data it would take along: {', '.join(uncommitted) or 'none'}.")
