"""Nights made by hand in a moment: entries of the log, run records and the files that their stages leave."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from made_versions import PARAMS

from flows.workspace import runs
from flows.workspace.night_log import GATE_CLOSED, REGISTERED, Night, note
from flows.workspace.project import Project
from pipeline.gating.results import FAILED, PASSED
from pipeline.runtime.tables import write_json
from pipeline.runtime.track import TRACKS, Track

STAGES = (("validate", 9.0), ("split", 2.5), ("label_noise", 8.0), ("augment", 6.0), ("train", 70.0), ("suspects", 2.0),
          ("optimize", 9.0), ("evaluate", 12.0), ("gate", 1.5), ("lineage", 3.0))  # fmt: skip
FIRST = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@dataclass(frozen=True)
class MadeNight:
    """How a night is to look. `value` is the headline figure; `done` are the stages that ended, all by default."""

    number: int
    result: str = REGISTERED
    reason: str = ""
    version: str = ""
    value: float | None = 0.8
    suspects: int = 40
    track: str = "agents"
    done: tuple[tuple[str, float], ...] = STAGES
    stage: str = ""
    has_run: bool = True
    after: timedelta = field(default_factory=timedelta)

    @property
    def of(self) -> Track:
        return TRACKS[self.track]

    @property
    def started(self) -> datetime:
        return FIRST + timedelta(days=self.number) + self.after

    @property
    def key(self) -> str:
        return f"{self.of.flow}-{self.started.date()}-{self.number:04d}" if self.has_run else ""


def make_night(project: Project, made: MadeNight, logged: bool = True) -> str:
    """Write a night down; returns its run key."""
    seen = project.on(made.of)
    ended = made.started + timedelta(seconds=sum(seconds for _, seconds in made.done))
    at = {"started": made.started.isoformat(), "ended": ended.isoformat() if made.result else ""}
    if logged:
        begun = Night(made.track, at["started"], at["started"], made.key)
        note(seen, begun)
        if made.result:
            note(seen, replace(begun, **{**at, "result": made.result, "reason": made.reason, "version": made.version}))
    if made.has_run:
        _make_run(seen, made, at)
    return made.key


def _make_run(project: Project, made: MadeNight, at: dict[str, str]) -> None:
    prefix = made.of.prefix
    finished = made.result in (REGISTERED, GATE_CLOSED)
    verdict = {REGISTERED: PASSED, GATE_CLOSED: FAILED}.get(made.result, "")
    state = runs.FINISHED if finished else runs.UNFINISHED
    timings = tuple((f"{prefix}{name}", seconds, "ran") for name, seconds in made.done)
    stage = f"{prefix}{made.stage}" if made.stage else ""
    run = runs.Run(made.key, made.number, state, "identity", at["started"], at["ended"])
    runs.save(project, replace(run, verdict=verdict, version=made.version, stage=stage, timings=timings))
    clone, stages = runs.clone_of(project, made.key), made.of.stages
    write_json({"rows": 502, "kept": 499, "quarantined": 3}, clone / stages / "validate" / "summary.json")
    if made.track == "agents":
        write_json({"suspects": made.suspects}, clone / stages / "suspects" / "summary.json")
    if made.value is not None:
        figure = {"value": made.value, "low": made.value - 0.03, "high": made.value + 0.02}
        report = {"systems": {"router": {made.of.headline: figure}}, f"{made.of.headline}_over": {}, "prompts": 112}
        write_json(report, clone / stages / "evaluate" / "metrics.json")
    _write_documents(project, made)


def _write_documents(project: Project, made: MadeNight) -> None:
    folder = runs.folder_of(project, made.key)
    docs = folder / "clone" / made.of.data_docs
    (docs.parent / "validations").mkdir(parents=True)
    links = f'<a href="validations/rows.html">rows</a> <a href="clone/{made.of.data_docs.as_posix()}">Data Docs</a>'
    (folder / "report.html").write_text(f"<!DOCTYPE html><title>{made.key}</title><h1>Report of {made.key}</h1>{links}")
    docs.write_text(f"<!DOCTYPE html><title>Data Docs</title><h1>Data Docs of {made.key}</h1>{links}")
    (docs.parent / "validations" / "rows.html").write_text("<!DOCTYPE html><h1>Validated rows</h1>")
    runs.log(project, made.key, f"{made.key}: started")


def project_in(folder: Path) -> Project:
    """A folder that is a project to the command line."""
    (folder / "params.yaml").write_text(yaml.safe_dump({**PARAMS, "nightly": {"tracks": ["agents", "models"]}}))
    (folder / "dvc.yaml").write_text("stages: {}\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return Project(folder)
