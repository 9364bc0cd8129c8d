"""`replay`: whether a version comes out the same when it is trained again."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.runtime.errors import VerificationFailed
from switchtender.options import Json, TrackOption, VersionArgument
from switchtender.show import print_json, print_table, say, say_aside

if TYPE_CHECKING:
    from flows.audit.replay import Certificate

app = typer.Typer()


@app.command(epilog="Example: switchtender replay 2")
def replay(version: VersionArgument = "champion", as_json: Json = False, track: TrackOption = "") -> None:
    """Train a version again from its recorded commit, in a scratch clone, and compare byte for byte."""
    from flows.audit import replay as replaying
    from flows.workspace.project import find_project
    from pipeline.versions.replay_comparison import DIFFERS

    project = find_project(track=track)
    project.enter_environment()
    tell = say_aside if as_json else say
    certificate, path = replaying.replay(project, version, tell, echo=sys.stderr.isatty())
    place = path.relative_to(project.root)
    if as_json:
        print_json({**asdict(certificate), "certificate": str(place)})
    else:
        _print(certificate, place)
    if certificate.verdict == DIFFERS:
        raise VerificationFailed(
            f"version {certificate.version} was not reproduced: {len(certificate.differing)} of "
            f"{len(certificate.files)} files differ; see {place}"
        )


def _print(certificate: Certificate, place: Path) -> None:
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
