"""`verify`: what is not as it was recorded."""

from __future__ import annotations

from dataclasses import asdict

from flows.project import find_project
from flows.promotion import named
from flows.removals import Removed
from flows.verification import Verified, check_logs, check_version
from flows.versions import versions_of
from pipeline.errors import VerificationFailed
from switchtender.show import print_json, print_table, say


def print_verification(version: str, every: bool, as_json: bool) -> None:
    """Check one version or all, and the logs; exit code 4 where anything is missing, extra or changed."""
    project = find_project()
    versions = versions_of(project)
    chosen = versions.all if every else [named(project, versions, version)]
    removed = Removed(project)
    results = [*(check_version(project, one, removed) for one in chosen), check_logs(project, versions)]
    if as_json:
        print_json([_facts(result) for result in results])
    else:
        _print(results)
    faults = [finding for result in results for finding in result.findings if finding.is_fault]
    if faults:
        raise VerificationFailed(
            f"{len(faults)} faults; the first: {faults[0].where}: {faults[0].path} is {faults[0].state}"
        )


def _facts(result: Verified) -> dict[str, object]:
    findings = [asdict(finding) for finding in result.findings]
    return {"version": result.version or None, "checked": result.checked, "sound": result.sound, "findings": findings}


def _print(results: list[Verified]) -> None:
    rows = [
        [f"version {r.version}" if r.version else "logs", f.where, f.path, f.state, f.expected[:16], f.actual[:40]]
        for r in results
        for f in r.findings
    ]
    if rows:
        print_table("Not as recorded", ["of", "where", "what", "state", "expected", "found"], rows)
    for result in results:
        name = f"version {result.version}" if result.version else "logs"
        say(f"{name}: {result.checked} things checked, {'sound' if result.sound else 'NOT SOUND'}")
