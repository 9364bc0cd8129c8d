"""`status`, `route` and `doctor`: they read and change nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.workspace.project import find_project
from pipeline.runtime.errors import InputError, SwitchtenderError
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.routers.calibrated import CalibratedRouter


def print_status(as_json: bool, track: str = "") -> None:
    """Aliases, the last night, its gates and metrics."""
    from flows.status import status_of

    facts = status_of(find_project(track=track))
    if as_json:
        print_json(facts)
        return
    headline = facts["headline"]
    rows = [[v["alias"], v["version"], v[headline], v["run_key"]] for v in facts["versions"]]
    print_table(f"Versions of {facts['model']}", ["alias", "version", headline.replace("_f1", "-F1"), "run key"], rows)
    if facts["alias_moved_to"] is not None:
        moved = facts["alias_moved_to"] or "none"
        say(f"MLflow's alias champion was moved to version {moved} from outside; that does not serve.")
        say("'switchtender promote --adopt --reason ...' accepts it; see 'switchtender verify'.")
    last = facts["last_night"]
    if last is None:
        say("No night has finished yet; run 'make nightly'.")
        return
    rows = [[g["gate"], g["value"], g["limit"], g["verdict"]] for g in last["gates"]]
    print_table(f"Gates of {last['run_key']}", ["gate", "value", "limit", "verdict"], rows)
    say(f"report  {last['report']}")


def print_route(
    prompt: str, as_json: bool, version: str, folder: Path | None, why: bool = False, track: str = ""
) -> None:
    """The agents of one prompt, or the language model; with `why`, what speaks for it."""
    from pipeline.routers.systems import open_router

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise InputError("the prompt is empty; write what a person would ask")
    if folder is None:
        from flows.status import router_at

        with router_at(find_project(track=track), version) as (place, source):
            _print_choice(open_router(place), text, f"version {source['version']}", source, as_json, why)
    else:
        _print_choice(open_router(folder), text, str(folder), {"version": None, "run_key": None}, as_json, why)


def _print_choice(
    router: CalibratedRouter, text: str, title: str, source: dict[str, Any], as_json: bool, why: bool
) -> None:
    predictions = router.predict([text])
    evidence = router.explain(text) if why else None
    ranked = sorted(
        zip(predictions.candidates, predictions.quality[0], predictions.chosen[0], strict=True), key=lambda r: -r[1]
    )
    if as_json:
        scores = {name: round(float(score), 6) for name, score, _ in ranked}
        said = {"why": evidence} if why else {}
        print_json({"agents": [n for n, _, hit in ranked if hit], "scores": scores, **said, **source})
        return
    rows = [["*" if hit else "", name, float(score)] for name, score, hit in ranked[:8]]
    print_table(title, ["", "agent", "score"], rows)
    if why:
        _print_evidence(evidence, [name for name, _, _ in ranked])


def _print_evidence(evidence: dict[str, Any] | None, ranked: list[str]) -> None:
    """In the words of the system."""
    if evidence is None:
        say("This system cannot say more than its scores; `tags`, `tasks` and `aptitude` can.")
    elif "reference" in evidence:
        _print_tags(evidence, ranked)
    else:
        _print_tasks(evidence, ranked)


def _print_tasks(evidence: dict[str, Any], ranked: list[str]) -> None:
    """The tasks that the prompt is taken for, and there the best candidate beside the next."""
    shown = ranked[:2]
    rows = [
        [f"{task['share']:.0%}", ", ".join(task["phrases"][:4]), *(float(task["quality"][name]) for name in shown)]
        for task in evidence["tasks"]
    ]
    print_table("tasks that the prompt is taken for", ["share", "task", *shown], rows)


def _print_tags(evidence: dict[str, Any], ranked: list[str]) -> None:
    """Of the best candidate beside the reference, what each tag of the prompt knows, the weightiest first."""
    best = next((name for name in ranked if name != evidence["reference"]), ranked[0])
    found = [(tag["tag"], cell) for tag in evidence["tags"] for cell in tag["candidates"] if cell["candidate"] == best]
    found.sort(key=lambda pair: -abs(pair[1]["contribution"]))
    rows = [[tag, *(float(cell[name]) for name in ("wins", "ties", "losses", "contribution"))] for tag, cell in found]
    title = f"{best} against the reference, {evidence['reference']}, on prompts with the same tags"
    print_table(title, ["tag", "wins", "ties", "losses", "adds"], rows)


def print_doctor(as_json: bool) -> None:
    """Every check with what it found and how to mend it; fails where one is missing."""
    from flows.doctor import checks

    found = checks(find_project())
    if as_json:
        print_json([check.__dict__ for check in found])
    else:
        print_table("doctor", ["check", "state", "found", "mend"], [[c.check, c.state, c.found, c.mend] for c in found])
    missing = [check.check for check in found if check.state != "ok"]
    if missing:
        raise SwitchtenderError(f"not ready: {', '.join(missing)}")
