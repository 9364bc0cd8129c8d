"""`verify` and `replay`: what is not as it was recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from flows.audit.replay import Certificate, replay
from flows.promotion.promotion import named
from flows.records.removal_log import Removed
from flows.registry.verification import Verified, check_logs, check_version
from flows.registry.versions import versions_of
from flows.workspace.project import find_project
from pipeline.runtime.errors import VerificationFailed
from pipeline.versions.replay_comparison import DIFFERS
from switchtender.show import print_json, print_table, say


def print_verification(version: str, every: bool, as_json: bool, track: str = "") -> None:
    """Check one version or all, and the logs; exit code 4 where anything is missing, extra or changed."""
    project = find_project(track=track)
    versions = versions_of(project)
    chosen = versions.all if every else [named(project, versions, version)]
    removed = Removed(project)
    bar = tqdm(chosen, unit="version", desc="verify", leave=False, disable=len(chosen) < 2 or not sys.stderr.isatty())
    results = [*(check_version(project, one, removed) for one in bar), check_logs(project, versions)]
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


def print_replay(version: str, as_json: bool, track: str = "") -> None:
    """Train again and compare; exit code 4 where neither the bytes nor the bound hold."""
    project = find_project(track=track)
    project.enter_environment()
    certificate, place = replay(project, version, _tell(as_json), echo=sys.stderr.isatty())
    if as_json:
        print_json({**asdict(certificate), "certificate": str(place.relative_to(project.root))})
    else:
        _print_certificate(certificate, place.relative_to(project.root))
    if certificate.verdict == DIFFERS:
        raise VerificationFailed(
            f"version {certificate.version} was not reproduced: {len(certificate.differing)} of "
            f"{len(certificate.files)} files differ; see {place.relative_to(project.root)}"
        )


def _tell(as_json: bool) -> Callable[[str], None]:
    return (lambda line: print(line, file=sys.stderr, flush=True)) if as_json else say


def _print_certificate(certificate: Certificate, place: Path) -> None:
    differing = [[file.path, file.recorded[:12], file.replayed[:12] or "not made"] for file in certificate.differing]
    if differing:
        print_table("Files that differ", ["file", "recorded", "replayed"], differing)
    drift = certificate.drift
    rows: list[list[object]] = [
        ["environment", "the recorded one" if certificate.same_environment else "another"],
        ["files alike", f"{len(certificate.files) - len(differing)} of {len(certificate.files)}"],
        ["holdout prompts routed alike", f"{drift.agreement:.1%} of {drift.prompts}"],
        ["largest change of a probability", f"{drift.largest:.3g}"],
        ["headline figure", f"{drift.headline_before:.4f} recorded, {drift.headline_after:.4f} replayed"],
    ]
    print_table(f"Replay of version {certificate.version}: {certificate.verdict}", ["compared", "found"], rows)
    say(f"certificate  {place}")
