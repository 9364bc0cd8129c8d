"""What the web page can do on a project: it asks the same functions as the command line, and computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flows.audit import diff as comparing
from flows.audit.audit import audit
from flows.audit.trace import RowInVersion, tracing
from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import add_decision, decided_by, suspects_of, take_back
from flows.night.history import history, read_document, stamp
from flows.promotion import promotion
from flows.promotion.in_service import InService, in_service
from flows.promotion.judging import Move
from flows.records.removal_log import PRUNED, RemovalLog
from flows.registry.forgotten import FORGOTTEN_TAG
from flows.registry.versions import CHAMPION, Version, versions_of
from flows.service import night_start
from flows.service.feedback import latest_hints
from flows.service.traffic import TrafficReader
from flows.service.version_cache import VersionCache
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.data.label_suspects import LabelDecision, Suspects
from pipeline.reports.night_history import NightHistory
from pipeline.runtime.errors import GateNotPassed, InputError, ParamsError, SwitchtenderError, refused_by_the_system
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.track import track_of
from pipeline.serving.engine.traffic import Span, Traffic
from pipeline.serving.page.actions import (
    Hint,
    HoldoutAnswers,
    NightRehearsal,
    Trace,
    TracedRow,
    VersionMove,
    VersionRow,
)
from pipeline.versions.audit import Audit
from pipeline.versions.diff import VersionDiff


class ProjectActions:
    """The page's actions on one project, each as `Actions` says. Safe to use from several threads."""

    def __init__(self, project: Project, cache_bytes: int) -> None:
        self.project = project
        self.dataset = DatasetCache(project)
        self.cache = VersionCache(project, cache_bytes)
        self.journal = TrafficReader(project)

    def texts(self, version: str, prompt_ids: Sequence[str]) -> dict[str, str]:
        taught = self.cache.evidence(versions_of(self.project).number(version)).texts_sha256
        rows = {prompt_id: self.dataset.row(prompt_id) for prompt_id in prompt_ids}
        return {
            prompt_id: row.prompt
            for prompt_id, row in rows.items()
            if row is not None and sha256_text(row.prompt) in taught.get(prompt_id, ())
        }

    def suspects(self) -> Suspects:
        return suspects_of(self.project, self.dataset)

    def decide(self, decision: LabelDecision) -> None:
        add_decision(self.project, self.dataset, decision, runs.now()[:10])

    def decided_by(self, reviewer: str) -> tuple[LabelDecision, ...]:
        return decided_by(self.project, self.dataset, reviewer)

    def take_back(self, decision: LabelDecision) -> None:
        take_back(self.project, decision)

    def hints(self) -> tuple[Hint, ...]:
        return latest_hints(self.project, self.dataset)

    def versions(self) -> tuple[VersionRow, ...]:
        try:
            versions = versions_of(self.project)
        except ParamsError:  # an InputError too, but no sign of an empty store
            raise
        except InputError:  # nothing was ever registered
            return ()
        serving = in_service(self.project, versions)
        removed = RemovalLog(self.project)
        return tuple(self._row(version, serving, removed) for version in reversed(versions.all))

    def _row(self, version: Version, serving: InService, removed: RemovalLog) -> VersionRow:
        others = tuple(alias for alias in version.aliases if alias != CHAMPION)
        roles = ((CHAMPION,) if version.version == serving.version else ()) + others
        rows = int(version.tags.get("train_rows", "0") or 0)
        notes = _notes(version, serving, removed)
        row = VersionRow(version.version, roles, version.run_key, rows, _tagged(version), None, (), notes)
        if removed.version(version.version, PRUNED):
            return row
        try:
            summary = self.cache.summary(version)
        except SwitchtenderError as error:
            return replace(row, note=f"{notes} {error}".strip())
        return replace(row, interval=summary.interval, gates=summary.gates)

    def compare(self, older: str, newer: str) -> VersionDiff:
        return comparing.diff(self.project, older, newer)

    def rehearse_promotion(self, version: str, reason: str) -> VersionMove:
        refusal = ""
        try:
            move = promotion.promote(self.project, version, reason, dry_run=True)
        except GateNotPassed as error:
            refusal = error.message
            # Rehearsed once more with force, to show which gates are closed.
            move = promotion.promote(self.project, version, reason, force=True, dry_run=True)
        return VersionMove(move.version_from, move.version_to, move.gates, refusal)

    def promote(self, shown: VersionMove, reason: str, who: str) -> VersionMove:
        return _plain(promotion.promote(self.project, shown.version_to, reason, who=who, shown=shown.ends))

    def rehearse_rollback(self, reason: str) -> VersionMove:
        return _plain(promotion.rollback(self.project, reason, dry_run=True))

    def rollback(self, shown: VersionMove, reason: str, who: str) -> VersionMove:
        return _plain(promotion.rollback(self.project, reason, who=who, shown=shown.ends))

    def audit(self, version: str) -> Audit:
        return audit(self.project, version)

    def trace(self, row: str) -> Trace:
        asked = row.strip()
        with tracing(self.project) as found:
            rows = found.row(prompt_id=asked) or found.row(text=row) or found.row(text=asked)
            if not rows:
                found.require_known()
            texts = {one.text_sha256 for one in rows if not one.through}
            there = [known for digest in sorted(texts) if (known := self.dataset.with_text(digest))]
            return Trace(
                asked=asked,
                prompt=there[0].prompt if there else "",
                rows=tuple(_traced(one) for one in reversed(rows)),
                serving=found.serving,
                unknown=tuple(found.unknown()),
            )

    def nights(self, most: int) -> NightHistory:
        return history(self.project, most)

    def nights_stamp(self) -> str:
        return stamp(self.project)

    def night_document(self, run_key: str, path: str) -> bytes:
        return read_document(self.project, run_key, path)

    def rehearse_night(self, tracks: Sequence[str]) -> NightRehearsal:
        return night_start.rehearse(self.project, tracks)

    def start_night(self, tracks: Sequence[str], who: str) -> None:
        night_start.start(self.project, tracks, who)

    def traffic(self, span: Span) -> Traffic:
        try:
            return self.journal.traffic(span)
        except OSError as error:
            raise refused_by_the_system(error) from error

    def holdout(self, version: str) -> HoldoutAnswers:
        return self.cache.evidence(versions_of(self.project).number(version)).holdout


def _tagged(version: Version) -> float | None:
    figure = version.tags.get(track_of(version.run_key).headline, "")
    return float(figure) if figure else None


def _notes(version: Version, serving: InService, removed: RemovalLog) -> str:
    pruned = removed.version(version.version, PRUNED)
    forgotten = version.tags.get(FORGOTTEN_TAG, "")
    moved = not serving.agrees and version.version == serving.alias
    notes = (
        f"pruned: {pruned.reason}" if pruned else "",
        f"learnt from rows that were forgotten since ({forgotten})" if forgotten else "",
        "MLflow's alias champion was moved here from outside; that does not serve" if moved else "",
    )
    return "; ".join(filter(None, notes))


def _plain(move: Move) -> VersionMove:
    return VersionMove(move.version_from, move.version_to, move.gates)


def _traced(row: RowInVersion) -> TracedRow:
    served = tuple((spell.since, spell.until) for spell in row.served)
    return TracedRow(row.version, row.split, row.fate, row.reason, row.agents, row.taught, row.through, served)
