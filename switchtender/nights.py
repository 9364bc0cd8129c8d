"""Nights and how they ended, for the verbs that run one: `nightly`, `candidate add` and `aptitude import`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.errors import GateNotPassed, SwitchtenderError, refused_by_the_system
from pipeline.runtime.plain import JsonObject
from switchtender.show import print_gates, print_json, say, say_aside

if TYPE_CHECKING:
    from flows.night.outcome import NightEnded
    from flows.workspace.project import Project


def run_nights(projects: Sequence[Project], as_json: bool, about: Mapping[str, object] | None = None) -> None:
    """A night for each, and what came of it; as JSON together with the facts `about` why it ran.

    One that fails leaves the next its own. A gate that did not pass ends with exit code 3, also when nothing was new.

    Raises:
        SwitchtenderError: what went wrong first; the rest is told on stderr.
    """
    from flows.night.monitoring import tell_outside
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
    tell_outside(projects[0], say_aside)
    if as_json:
        print_json({**(about or {}), "nights": plain(found)})
    for other in wrong[1:]:
        say_aside(f"switchtender: {other}")
    if wrong:
        raise wrong[0]


def run_joining_night(
    project: Project, kept: tuple[Path, int], facts: JsonObject, dry_run: bool, as_json: bool
) -> None:
    """Say which outcomes of a new candidate were kept, and run the night that lets it in or not.

    `facts` name the candidate, and what else the JSON is to tell of it.
    """
    place, count = kept
    shown = str(place.relative_to(project.root))
    if not as_json:
        say(f"{'would write' if dry_run else 'wrote'} {count} outcomes of {facts['candidate']} to {shown}")
    known = {**facts, "outcomes": count, "file": shown, "dry_run": dry_run}
    if not dry_run:
        project.enter_environment()
        run_nights((project,), as_json, known)
    elif as_json:
        print_json(known)


def _night(project: Project, as_json: bool) -> NightEnded:
    """Run a night, print how it ended unless JSON is wanted, and return it."""
    from flows.night.nightly import night

    ended = night(project, say_aside if as_json else say, echo=sys.stderr.isatty())
    if not as_json:
        _print(ended)
    return ended


def _closed(ended: NightEnded) -> list[SwitchtenderError]:
    """One error where a gate did not pass."""
    return [] if ended.passed else [GateNotPassed(f"{ended.run_key}: {ended.reason}; see {ended.report}")]


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
