"""`verify`: what is not as it was recorded."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.text import counted
from switchtender.options import Json, TrackOption, VersionArgument
from switchtender.show import SHORT_SHA256, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flows.registry.findings import Finding, Verified
    from flows.registry.versions import Version
    from flows.workspace.project import Project

app = typer.Typer()


@app.command(epilog="Example: switchtender verify --all --witness /media/auditor/switchtender.jsonl")
def verify(
    version: VersionArgument = "champion",
    every: Annotated[bool, typer.Option("--all", help="Every version of the track.")] = False,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Hold the logs against heads kept elsewhere: a file, git:REMOTE or a URL; repeatable."),
    ] = None,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Hash everything again: a version's files, signature, provenance, data in cache and remote, and the logs."""
    from flows.workspace.project import find_project

    project = find_project(track=track)
    results = _checked(project, version, every, witness or [])
    if as_json:
        print_json([_facts(result) for result in results])
    else:
        if not any(result.version for result in results):
            say(f"No version is registered yet; run '{project.night_command}'.")
        _print(results)
    faults = [finding for result in results for finding in result.findings if finding.is_fault]
    if faults:
        first = f"{faults[0].where}: {faults[0].path} is {faults[0].state}"
        raise VerificationFailed(f"{counted(len(faults), 'fault')}; the first: {first}; {_remedy(faults)}")


def _remedy(faults: Sequence[Finding]) -> str:
    if any(fault.where == "git" and fault.path.startswith("refs/") for fault in faults):
        return "if var came from another checkout: switchtender doctor --relocate"
    if faults[0].where == "version":
        return "put it back from a copy of var/artifacts, or serve another version (switchtender rollback)"
    return "docs/audit.md says what is checked there"


def _checked(project: Project, version: str, every: bool, witnesses: list[str]) -> list[Verified]:
    """What was found of one version, or of all, and of the logs."""
    from tqdm import tqdm

    from flows.audit.verify import verify as verified

    def shown(chosen: Sequence[Version]) -> Iterable[Version]:
        quiet = len(chosen) < 2 or not sys.stderr.isatty()
        return tqdm(chosen, unit="version", desc="verify", leave=False, disable=quiet)

    return verified(project, version, every, witnesses, shown)


def _facts(result: Verified) -> dict[str, object]:
    findings = [asdict(finding) for finding in result.findings]
    return {"version": result.version or None, "checked": result.checked, "sound": result.sound, "findings": findings}


def _print(results: list[Verified]) -> None:
    rows = [
        [
            f"version {r.version}" if r.version else "logs",
            f.where,
            f.path,
            f.state,
            f.expected[:SHORT_SHA256],
            f.actual[:SHORT_SHA256],
        ]
        for r in results
        for f in r.findings
    ]
    if rows:
        print_table("Not as recorded", ["of", "where", "what", "state", "expected", "found"], rows)
    for result in results:
        name = f"version {result.version}" if result.version else "logs"
        say(f"{name}: {result.checked} things checked, {'sound' if result.sound else 'NOT SOUND'}")
