"""What the report of one night shows, and how it is gathered from the files that the stages left.

A piece that was not written is None, never an empty list: "no row was quarantined" and "the quarantine could not
be read" are different news. A file that is there but cannot be read is an error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.data.fates import read_fates
from pipeline.evaluation.cost_quality_plots import OUTCOME_PICTURES
from pipeline.evaluation.label_report import LabelReport
from pipeline.evaluation.outcome_facts import ModelReport, read_model_report
from pipeline.evaluation.plots import PICTURES
from pipeline.evaluation.task_map import TASK_MAP
from pipeline.gating.results import PASSED, GateResult, Verdict, parse_verdict
from pipeline.learning.augmentation import AugmentationTrial
from pipeline.metrics.precision_loss import PrecisionChoice, read_precisions
from pipeline.reports.night_history import StageTime
from pipeline.routers.classifier import SETTINGS
from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import parsed
from pipeline.runtime.stage import ORDER, Summary
from pipeline.runtime.tables import read_table, sha256_file
from pipeline.runtime.text import parse_json
from pipeline.runtime.track import AGENTS, Track
from pipeline.versions.folder import suspects_in

UNCHANGED, FAILED = "unchanged", "failed"
_RECORDED = ("data/*", "params.yaml", "dvc.lock", "constraints.txt")
_NOT_DATA = {"README.md", ".gitignore"}

Rows = list[dict[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class DataChanges:
    """Ids of prompts that differ from an earlier dataset; `against` names it, such as `version 12, champion`."""

    against: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class NightFacts:
    """All that one report shows. Law: nothing is read, asked or timed while it is drawn.

    `verdict` and `gates` are verdict.json's; `verdict` is None where the night ended before the gate, and then
    `stopped` says where and why. `version` is None where nothing was registered, `alias` what it was given.
    `changes` is None where there is no earlier dataset. `metrics` is metrics.json, a LabelReport of agents and a
    ModelReport of models; `pictures` are PNG bytes; `links` are label -> path. The other fields are None where their
    stage left nothing.
    """

    run_key: str
    track: Track = AGENTS
    verdict: str | None = None
    gates: tuple[GateResult, ...] = ()
    stopped: str | None = None
    version: str | None = None
    alias: str | None = None
    ended: str = ""
    summaries: dict[str, Summary] = field(default_factory=dict)
    timings: tuple[StageTime, ...] = ()
    changes: DataChanges | None = None
    uncommitted: tuple[str, ...] = ()
    head: str = ""
    metrics: LabelReport | ModelReport | None = None
    precisions: PrecisionChoice | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    suspects: Rows | None = None
    quarantine: Rows | None = None
    fates: dict[str, dict[str, int]] | None = None
    lineage: Summary | None = None
    environment: Mapping[str, object] | None = None
    augmentation: AugmentationTrial | None = None
    params: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the door is open: the stage says so, and at least one gate stands and each of them passed."""
        return self.verdict == PASSED and bool(self.gates) and not self.closed and self.stopped is None

    @property
    def closed(self) -> tuple[GateResult, ...]:
        """The gates that did not pass: those that failed and those that could not decide."""
        return tuple(gate for gate in self.gates if not gate.passed)


def collect(run_folder: Path, run_key: str, track: Track = AGENTS) -> NightFacts:
    """The facts of a night that lie in its folder.

    They are verdict, gates, summaries, metrics, pictures, suspects, quarantine, fates, lineage, environment, params and
    the sha256 of data/*, params.yaml, dvc.lock and constraints.txt. The caller knows the rest: version, alias, ended,
    stopped, timings, changes, uncommitted, head, links.

    Raises:
        InputError: a file is there but is not what its stage writes.
    """
    stages = run_folder / track.stages
    verdict = _facts(stages / "gate" / "verdict.json", parse_verdict) or Verdict("", ())
    found = {name: _facts(stages / name / "summary.json", _summary) for name in ORDER}
    summaries = {name: summary for name, summary in found.items() if summary is not None}
    report: Callable[[object], LabelReport | ModelReport] = _label_report if track is AGENTS else read_model_report
    return NightFacts(
        run_key=run_key,
        track=track,
        verdict=verdict.verdict or None,
        gates=verdict.gates,
        summaries=summaries,
        metrics=_facts(stages / "evaluate" / "metrics.json", report),
        precisions=_facts(stages / "optimize" / "precisions.json", read_precisions),
        pictures=_pictures(stages / "evaluate" / "plots"),
        suspects=_rows(suspects_in(stages).with_suffix(".csv")),
        quarantine=_rows(stages / "validate" / "quarantine.csv"),
        fates=count_fates(stages / "fates"),
        lineage=summaries.get("lineage"),
        environment=_facts(stages / "train" / "environment.json", _environment),
        augmentation=_facts(stages / "train" / "router" / SETTINGS, _augmentation),
        params=_text(run_folder / "params.yaml"),
        digests=_digests(run_folder),
    )


def _label_report(content: object) -> LabelReport:
    return parsed(LabelReport, content)


def _summary(content: object) -> Summary:
    return parsed(Summary, content)


def _environment(content: object) -> dict[str, object]:
    return parsed(dict[str, object], content)


def _augmentation(content: object) -> AugmentationTrial | None:
    tried = parsed(dict[str, Any], content).get("augmentation")
    return parsed(AugmentationTrial, tried) if tried else None


def count_fates(folder: Path) -> dict[str, dict[str, int]] | None:
    """For each stage that recorded fates, in the night's order: fate -> number of rows. None where none did."""
    if not folder.is_dir():
        return None
    found = {path.stem for path in folder.glob("*.parquet")}
    stages = [name for name in ORDER if name in found] + sorted(found - set(ORDER))
    counts = {name: read_fates(name, folder)["fate"].value_counts().to_dict() for name in stages}
    return {name: {str(fate): int(count) for fate, count in rows.items()} for name, rows in counts.items()}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); run its stage again") from error


def _facts(path: Path, read: Callable[[object], T]) -> T | None:
    """What `read` makes of a JSON file; None where there is none."""
    text = _text(path)
    if text is None:
        return None
    try:
        return read(parse_json(text))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}); run its stage again") from error
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path} is not what its stage writes ({reason}); run it again") from error


def _rows(path: Path) -> Rows | None:
    """The rows of a table that may have none, as text."""
    text = _text(path)
    if text is None:
        return None
    try:
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV table ({error}); run its stage again") from error


def _pictures(folder: Path) -> dict[str, bytes]:
    paths = {name: folder / f"{name}.png" for name in (*PICTURES, *OUTCOME_PICTURES, TASK_MAP)}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def _digests(run_folder: Path) -> dict[str, str]:
    paths = sorted(path for pattern in _RECORDED for path in run_folder.glob(pattern))
    files = [path for path in paths if path.is_file() and path.name not in _NOT_DATA and path.suffix != ".dvc"]
    return {path.relative_to(run_folder).as_posix(): sha256_file(path) for path in files}


def compare(older: Path, newer: Path, against: str) -> DataChanges:
    """Ids added, removed, and changed in text, agents or outcomes; `against` names the older one.

    Raises:
        TableError: one of the tables cannot be read.
    """
    before, after = _read_rows(older), _read_rows(newer)
    return DataChanges(
        against,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(key for key in before.keys() & after.keys() if before[key] != after[key])),
    )


def _read_rows(path: Path) -> dict[str, tuple[str, ...]]:
    """What a table says of each prompt: its text and label, or its text and outcomes; their order does not matter."""
    frame = read_table(path, required=("prompt_id", "prompt"))
    if "agents" in frame.columns:
        return {str(row.prompt_id): (str(row.prompt), str(row.agents)) for row in frame.itertuples()}
    frame = frame.reindex(columns=["prompt_id", "prompt", "candidate", "quality", "cost"]).astype(str)
    said = frame["prompt"] + "\0" + frame["candidate"] + "\0" + frame["quality"] + "\0" + frame["cost"]
    return {str(name): tuple(sorted(rows)) for name, rows in said.groupby(frame["prompt_id"])}
