"""What a monitor wants to know of nights, as metrics: for the service's /metrics, and as a file for node_exporter."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import suspects_of
from flows.night.history import TrackNights
from flows.night.params import nightly_params
from flows.notifications.sending import notify_quietly
from flows.workspace.night_log import (
    CUT_SHORT,
    FAILED,
    GATE_CLOSED,
    NOTHING_NEW,
    PASSED_OVER,
    REGISTERED,
    Night,
)
from flows.workspace.project import Project
from pipeline.reports.night_history import UNDER_WAY, NightRow
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line
from pipeline.runtime.tables import write_text
from pipeline.runtime.track import AGENTS

RESULTS = (REGISTERED, NOTHING_NEW, GATE_CLOSED, FAILED, CUT_SHORT, PASSED_OVER)
_SUCCESSES = (REGISTERED, NOTHING_NEW)
_PREFIX = "switchtender_"
_REMEMBERED_SECONDS = 30.0


class NightCollector(Collector):
    """Gauges of both tracks' nights, read again at most twice a minute. Safe to use from several threads."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._dataset = DatasetCache(project.on(AGENTS))
        self._lock = threading.Lock()
        self._known: list[Metric] = []
        self._until = 0.0

    def collect(self) -> Iterator[Metric]:
        """The gauges; what is not known has none."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = _gauges(self._project, self._dataset)
                self._until = time.monotonic() + _REMEMBERED_SECONDS
            yield from self._known


def write_textfile(project: Project, path: Path) -> None:
    """Write the gauges for node_exporter's textfile collector, whole or not at all.

    Raises:
        SwitchtenderError: the file cannot be written.
    """
    registry = CollectorRegistry()
    registry.register(NightCollector(project))
    # Under a name that node_exporter passes over, since it would read half a file or the same gauges twice.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_text(generate_latest(registry).decode(), draft)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}); name a file in a folder of yours") from error


def write_textfile_quietly(project: Project, tell: Callable[[str], None]) -> None:
    """Write it where params.yaml says (nightly.textfile); that it cannot be written changes nothing about a night."""
    try:
        if name := nightly_params(project).textfile:
            write_textfile(project, project.root / name)
    except (SwitchtenderError, OSError) as error:
        tell(f"warning: no metrics for a monitor ({one_line(error)})")


def tell_outside(project: Project, tell: Callable[[str], None]) -> None:
    """After nights: word to people and metrics to a monitor, where params.yaml asks for them."""
    notify_quietly(project, tell)
    write_textfile_quietly(project, tell)


def _gauges(project: Project, dataset: DatasetCache) -> list[Metric]:
    gauges = _Gauges()
    for seen in project.both:
        name = seen.track.name
        try:
            found = TrackNights.of(seen)
            _of_track(gauges, found, name)
            failed = bool(found.note)
        except (SwitchtenderError, OSError, ValueError):
            failed = True
        gauges.set("nights_unreadable", "Whether it is unknown how nights went", float(failed), track=name)
    try:
        waiting = len(suspects_of(project.on(AGENTS), dataset).left)
        gauges.set("suspects_waiting", "Suspected labels that wait for a person", waiting, track=AGENTS.name)
    except (SwitchtenderError, OSError, ValueError):
        pass  # no night has finished yet, or the data cannot be read: no gauge, not a 0
    return gauges.families


def _of_track(gauges: _Gauges, found: TrackNights, track: str) -> None:
    ended = [night for night in found.nights if night.result != UNDER_WAY]
    gauges.set("night_under_way", "Whether a night is under way", len(found.nights) - len(ended), track=track)
    if found.promotions:
        champion = found.promotions[-1]
        since = _seconds(champion.at)
        told = "When the version in service was put there"
        gauges.set("champion_since_timestamp_seconds", told, since, track=track, version=champion.version_to)
        age = max(0.0, datetime.now(UTC).timestamp() - since)
        gauges.set("champion_age_seconds", "How long it has been there, when this was written", age, track=track)
    if not ended:
        return
    for result in RESULTS:
        is_it = float(ended[-1].result == result)
        gauges.set("night_last_result", "How the last night ended: 1 at its result", is_it, track=track, result=result)
    _moment(gauges, "night_last_end_timestamp_seconds", "When the last night ended", ended, track)
    well = [night for night in ended if night.result in _SUCCESSES]
    _moment(gauges, "night_last_success_timestamp_seconds", "When one last ended well", well, track)
    if trained := [night for night in ended if night.run_key]:
        _of_run(gauges, found.row(trained[-1]), track)


def _moment(gauges: _Gauges, name: str, told: str, nights: list[Night], track: str) -> None:
    if nights and nights[-1].ended:
        gauges.set(name, told, _seconds(nights[-1].ended), track=track)


def _of_run(gauges: _Gauges, night: NightRow, track: str) -> None:
    """Of the last night that trained or tried to."""
    gauges.set("night_duration_seconds", "What the stages of the last run took together", night.seconds, track=track)
    for stage in night.stages:
        told = "What each stage of the last run took"
        gauges.set("night_stage_seconds", told, stage.seconds, track=track, stage=stage.stage)
    if night.rows.read and night.rows.quarantined is not None:
        share = night.rows.quarantined / night.rows.read
        gauges.set("night_reject_ratio", "Rows that the last run set aside, of those read", share, track=track)


class _Gauges:
    """Families by name, in the order in which they came."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}

    def set(self, name: str, told: str, value: float, **labels: str) -> None:
        if name not in self._families:
            self._families[name] = GaugeMetricFamily(f"{_PREFIX}{name}", told, labels=list(labels))
        self._families[name].add_metric(list(labels.values()), value)

    @property
    def families(self) -> list[Metric]:
        return list(self._families.values())


def _seconds(moment: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()
