"""The nights of both tracks as people look at them: from the log of nights, run records and what stages left.

Nothing here writes or takes a lock. A night's own files are opened only where it is among those asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from flows.records.promotion_log import Promotion, promotions
from flows.records.signed_logs import PROMOTIONS
from flows.workspace import runs
from flows.workspace.lock import holder_of, word_of
from flows.workspace.night_log import (
    CUT_SHORT,
    FAILED,
    GATE_CLOSED,
    NOTHING_NEW,
    PASSED_OVER,
    REGISTERED,
    Night,
    nights,
)
from flows.workspace.project import Project
from flows.workspace.runs import ABANDONED, FINISHED, LOG, Run, clone_of, folder_of
from pipeline.gating.results import PASSED
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.holdout_figures import read_figures
from pipeline.reports.night_history import UNDER_WAY, NightHistory, NightRow, RowCounts, StageTime
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line
from pipeline.runtime.plain import parsed
from pipeline.runtime.stage_progress import stage_progress
from pipeline.runtime.text import parse_json

MOST = 30
REPORT, DATA_DOCS, NIGHT_LOG = "report", "Data Docs", "log"
_MOST_BYTES = 20_000_000
"""A larger file of a night is not sent to a browser."""
T = TypeVar("T")


def history(project: Project, most: int = MOST, track: str = "") -> NightHistory:
    """The latest nights of both tracks, or of the one that is named, newest first."""
    views = [view for view in project.both if track in ("", view.track.name)]
    sides = {view.track.name: TrackNights.of(view) for view in views}
    found = sorted(
        (night for side in sides.values() for night in side.nights), key=lambda one: one.started, reverse=True
    )
    rows = tuple(sides[night.track].row(night) for night in found[:most])
    note = "; ".join(dict.fromkeys(side.note for side in sides.values() if side.note))
    return NightHistory(rows, max(0, len(found) - most), note)


def stamp(project: Project) -> str:
    """What differs once a night has begun or ended, or a version went into service; nothing is opened for it."""
    logs = [view.records / PROMOTIONS for view in project.both]
    facts = [path.stat() for path in (project.var / "nights.jsonl", word_of(project.lock), *logs) if path.is_file()]
    return " ".join(f"{found.st_size}-{found.st_mtime_ns}" for found in facts)


@dataclass(frozen=True)
class TrackNights:
    """What is known of one track's nights before their own files are opened.

    `nights` are in the order begun. `latest` has the start of the last attempt at each run: its record is about that
    one. `promotions` are all of them, the oldest first; `note` tells where that cannot be said.
    """

    project: Project
    nights: tuple[Night, ...]
    latest: dict[str, str]
    promotions: tuple[Promotion, ...]
    note: str

    @classmethod
    def of(cls, project: Project) -> TrackNights:
        logged = [night for night in nights(project) if night.track == project.track.name]
        known = {night.run_key for night in logged}
        logged += [_unlogged(project, key) for key in runs.keys_of(project) if key not in known]
        logged.sort(key=lambda night: night.started)
        made, note = _read(lambda: promotions(project))
        latest = {night.run_key: night.started for night in logged}
        return cls(project, tuple(_live(project, logged)), latest, tuple(made or ()), note)

    def row(self, night: Night) -> NightRow:
        """A night with what its run's files tell."""
        run, note = self._run(night)
        stages = tuple(self._stage(*timing) for timing in run.timings) if run else ()
        figure, wrong = _read(lambda: self._figure(night, stages))
        rows, also_wrong = _read(lambda: self._rows(night, stages))
        at = run.stage if run and night.result in (UNDER_WAY, CUT_SHORT) else ""
        progress = stage_progress(clone_of(self.project, night.run_key), at) if night.result == UNDER_WAY else None
        return NightRow(
            track=night.track,
            started=night.started,
            ended=night.ended,
            scheduled=night.scheduled,
            run_key=night.run_key,
            state=night.result,
            reason=f"{night.reason}, in stage {at}" if night.result == CUT_SHORT and at else night.reason,
            advice=self._advice(night),
            version=night.version,
            promoted=self._promoted(night.version) if night.result == REGISTERED else "",
            stages=stages,
            stage=at.removeprefix(self.project.track.prefix) if night.result == UNDER_WAY else "",
            percent=progress.percent if progress and progress.total else None,
            figure=figure,
            rows=rows or RowCounts(),
            documents=documents(self.project, night.run_key) if night.run_key else {},
            note="; ".join(filter(None, (note, wrong, also_wrong))),
            since=_seconds_since(night.started) if night.result == UNDER_WAY else None,
        )

    def _promoted(self, version: str) -> str:
        """When a version first went into service; empty where it never did."""
        return next((one.at for one in self.promotions if one.version_to == version), "")

    def _stage(self, name: str, seconds: float, how: str) -> StageTime:
        """A stage under the name that both tracks have for it."""
        return StageTime(name.removeprefix(self.project.track.prefix), seconds, how)

    def _run(self, night: Night) -> tuple[Run | None, str]:
        """The record of the run that the night made, where it is about this attempt and not a later one."""
        if not night.run_key or self.latest[night.run_key] != night.started:
            return None, ""
        return _read(lambda: runs.run_of(self.project, night.run_key))

    def _folder(self, night: Night, stage: str) -> Path:
        return clone_of(self.project, night.run_key) / self.project.track.stages / stage

    def _figure(self, night: Night, stages: Iterable[StageTime]) -> Estimate | None:
        path = self._folder(night, "evaluate") / "metrics.json"
        if not _was_done("evaluate", stages) or not path.exists():
            return None
        found = read_figures(parse_json(path.read_bytes())).router[self.project.track.headline]
        return found if found.is_known else None

    def _rows(self, night: Night, stages: Iterable[StageTime]) -> RowCounts:
        counts = {}
        for stage in ("validate", "label_noise", "suspects"):
            path = self._folder(night, stage) / "summary.json"
            if _was_done(stage, stages) and path.exists():
                counts[stage] = parse_json(path.read_bytes())
        checked = counts.get("validate", {})
        doubted = {**counts.get("label_noise", {}), **counts.get("suspects", {})}
        read, set_aside = checked.get("rows"), checked.get("quarantined")
        kept = read - set_aside if read is not None and set_aside is not None else None
        facts = {"read": read, "kept": checked.get("kept", kept), "quarantined": set_aside}
        return parsed(RowCounts, {**facts, "suspects": doubted.get("suspects")})

    def _advice(self, night: Night) -> str:
        """What a person does about a night that brought no version; where a later one did, nothing."""
        if night.result not in _ADVICE:
            return ""
        after = [one for one in self.nights if one.started > night.started and one.result in (REGISTERED, NOTHING_NEW)]
        if after:
            return f"nothing: the night of {after[0].started[:16].replace('T', ' ')} ended well"
        report = f"var/runs/{night.run_key}/report.html"
        return _ADVICE[night.result].format(night=self.project.night_command, report=report)


_ADVICE = {
    GATE_CLOSED: "its report ({report}) says which gate and why; mend data, or have whoever answers for a limit change "
    "it, then '{night}'. What serves stays",
    FAILED: "mend what the reason names (the log has more), then '{night}': finished stages are not run again",
    CUT_SHORT: "'{night}' goes on where it stopped; the schedule does so by itself",
}


def _seconds_since(started: str) -> float:
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds())


def _live(project: Project, found: Iterable[Night]) -> Iterator[Night]:
    """Nights without a result are under way where the latest one's process lives, else they were killed."""
    listed = list(found)
    holder = holder_of(project.lock)
    lives = holder is not None and holder.purpose == project.track.flow
    # A date that is passed over may be noted while a night runs, and is none itself.
    latest = next((night for night in reversed(listed) if night.result != PASSED_OVER), None)
    for night in listed:
        if night.result:
            yield night
        elif lives and night is latest:
            yield replace(night, result=UNDER_WAY)
        else:
            yield replace(night, result=CUT_SHORT, reason=night.reason or "its process was killed")


def _unlogged(project: Project, key: str) -> Night:
    """A run from before there was a log of nights, as far as its record tells."""
    run, wrong = _read(lambda: runs.run_of(project, key))
    if run is None:
        return Night(project.track.name, "", run_key=key, result=CUT_SHORT, reason=wrong)
    result, reason = {
        FINISHED: (REGISTERED, "") if run.verdict == PASSED else (GATE_CLOSED, "gate not passed: see its report"),
        ABANDONED: (CUT_SHORT, "given up, since its inputs had changed"),
    }.get(run.state, ("", ""))
    return Night(project.track.name, run.started, "", key, result, reason, run.version, run.ended)


def _was_done(stage: str, stages: Iterable[StageTime]) -> bool:
    """Whether a stage was done by this very night: its files may be those that the night before left to it."""
    return any(one.stage == stage for one in stages)


def _read(read: Callable[[], T]) -> tuple[T | None, str]:
    """What is read, or why it cannot be."""
    try:
        return read(), ""
    except SwitchtenderError as error:
        return None, error.message
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"figures cannot be read ({one_line(error, 100)})"


def documents(project: Project, key: str) -> dict[str, str]:
    """What there is to read of a run: names to paths from its folder."""
    docs = (Path("clone") / project.track.data_docs).as_posix()
    every = {REPORT: "report.html", DATA_DOCS: docs, NIGHT_LOG: LOG}
    return {name: path for name, path in every.items() if (folder_of(project, key) / path).is_file()}


def read_document(project: Project, key: str, path: str) -> bytes:
    """The bytes of one of a run's documents, or of a page that one leads to.

    Raises:
        InputError: there is no such run or document.
    """
    view = next((view for view in project.both if key.startswith(f"{view.track.flow}-")), None)
    docs = (Path("clone") / view.track.data_docs).parent if view else Path()
    folder, asked = folder_of(project, key), Path(path)
    is_open = asked.as_posix() in ("report.html", LOG) or docs in asked.parents
    missing = InputError(f"there is no document '{path[:80]}' of the night '{key[:80]}'")
    if view is None or Path(key).name != key or not is_open or ".." in asked.parts:
        raise missing
    try:
        whole = (folder / asked).resolve(strict=True)
        # A link must not lead to what lies beside the run.
        if not whole.is_relative_to(folder.resolve()) or not whole.is_file():
            raise missing
        if whole.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path[:80]} is too large to be shown here; open var/runs/{key}/{path[:80]}")
        return whole.read_bytes()
    except (OSError, ValueError) as error:
        raise missing from error
