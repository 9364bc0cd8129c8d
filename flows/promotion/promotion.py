"""Moving a version into service and back: bytes proved, gates read again, the champion of today compared.

The alias moves by compare-and-set under our lock, since MLflow has none; an alias that somebody moved through
MLflow's own API is noticed and not served until it is adopted.
"""

from __future__ import annotations

from flows.promotion.in_service import InService, in_service
from flows.promotion.judging import Move, judged, moved_to
from flows.records.promotion_log import (
    ADOPTED,
    PROMOTED,
    ROLLED_BACK,
    Promotion,
    promotions,
    record_promotion,
    stack,
    who_am_i,
)
from flows.registry.forgotten import tagged_rows
from flows.registry.mlflow_store import Registry
from flows.registry.records_check import require_continued
from flows.registry.versions import CHAMPION, PREVIOUS, Version, Versions, opened, versions_of
from flows.workspace import runs
from flows.workspace.forgetting import refuse_unfinished
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.runtime.errors import GateNotPassed, InputError, VerificationFailed, listed
from pipeline.runtime.params import PARAMS_FILE
from pipeline.runtime.text import is_blank
from pipeline.versions.commands import command

FIRST_REASON = "first gated version of a store without a champion"
_NIGHT = "nightly"
"""Who takes a first version into service, whatever its track."""
_PATIENCE = 60.0
"""Seconds that a night waits for a person's promotion to end."""


def promote(
    project: Project,
    number: str,
    reason: str,
    *,
    who: str = "",
    force: bool = False,
    dry_run: bool = False,
    shown: tuple[str, str] | None = None,
) -> Move:
    """Put a version into service. `who` is the person where it is not the account that this runs under; `shown` are
    the versions from and to of the move that they said yes to.

    Raises:
        InputError: no such version, no reason, it serves already, or it holds forgotten rows.
        GateNotPassed: a gate is closed and `force` was not given.
        VerificationFailed: bytes, signature, log or alias are not as recorded; `force` does not help.
        HeldByAnotherRun: another promotion is under way.
    """
    _require_reason(reason)
    who = who or who_am_i(project)
    with held(project.promotion_lock, f"promotion of version {number} by {who}"):
        versions = _continued(project)
        candidate = versions.number(number)
        serving = in_service(project, versions)
        _require_same(shown, serving.version, number)
        if serving.version == number and not serving.agrees:
            if not dry_run:
                align_aliases(project, versions)
            return Move(number, number)
        _agreed(serving, number, versions)
        refuse_unfinished(project)
        # What the tag says is asked first: erased files cannot be proved any more, and the rows are the reason.
        _refuse_forgotten(
            Move(serving.version, number, forgotten=tuple(sorted(tagged_rows(candidate)))), force, project
        )
        move = judged(project, versions, candidate, serving.version)
        _refuse_forgotten(move, force, project)
        if move.closed and not force:
            raise GateNotPassed(
                f"version {number} is not promoted: {', '.join(move.closed)} did not pass",
                "--force with a reason puts it into service all the same, and is recorded",
            )
        if not dry_run:
            _move(project, versions, move, PROMOTED, reason, who, force and bool(move.closed or move.forgotten))
        return move


def _require_same(shown: tuple[str, str] | None, version_from: str, version_to: str) -> None:
    """Refuse to make another move than the one that was shown."""
    if shown is not None and shown != (version_from, version_to):
        raise InputError(
            f"meanwhile version {version_from or 'none'} serves, so that this would go to version {version_to}; "
            "look at the move once more"
        )


def rollback(
    project: Project,
    reason: str,
    *,
    who: str = "",
    force: bool = False,
    dry_run: bool = False,
    shown: tuple[str, str] | None = None,
) -> Move:
    """Put the version before the present one into service again. Bytes are proved; gates are not asked.

    `force` goes back even to a version that learnt from rows forgotten since.

    Raises:
        InputError: no reason, nothing to go back to, or it holds forgotten rows.
        VerificationFailed: the older version's bytes, or the log or alias, are not as recorded.
        HeldByAnotherRun: a promotion is under way.
    """
    _require_reason(reason)
    who = who or who_am_i(project)
    with held(project.promotion_lock, f"rollback by {who}"):
        versions = _continued(project)
        serving = _agreed(in_service(project, versions), "", versions)
        if not serving.version:
            raise versions.none_at(CHAMPION)
        before = stack(promotions(project))[:-1]
        if not versions.has(serving.version):  # an older registry was put back: what it lacks is passed over
            before = [number for number in before if versions.has(number)]
        if not before:
            raise InputError(f"nothing served before version {serving.version}; there is nothing to go back to")
        _require_same(shown, serving.version, before[-1])
        refuse_unfinished(project)
        move = moved_to(project, serving.version, versions.number(before[-1]))
        _refuse_forgotten(move, force, project)
        if not dry_run:
            _move(project, versions, move, ROLLED_BACK, reason, who, force and bool(move.forgotten))
        return move


def adopt(project: Project, reason: str, *, force: bool = False, dry_run: bool = False) -> Move:
    """Accept an alias that was moved through MLflow's own API: the version is proved, then recorded as serving.

    Raises:
        InputError: no reason, the alias was not moved, or it holds forgotten rows and `force` was not given.
        VerificationFailed: the version's bytes are not as recorded.
    """
    _require_reason(reason)
    who = who_am_i(project)
    with held(project.promotion_lock, f"adoption by {who}"):
        versions = _continued(project)
        serving = in_service(project, versions)
        if serving.agrees or not serving.alias:
            raise InputError("the alias champion is where the promotion log says; there is nothing to adopt")
        refuse_unfinished(project)
        move = moved_to(project, serving.version, versions.number(serving.alias))
        _refuse_forgotten(move, force, project)
        if not dry_run:
            _move(project, versions, move, ADOPTED, reason, who, force and bool(move.forgotten))
        return move


def promote_first(project: Project, version: Version) -> bool:
    """Take a store's first gated version into service, on a night's own account; False where one serves already.

    Where one does, the lock is not asked for: a promotion under way must not stop a night.
    """
    if not _is_first(project, versions_of(project)):
        return False
    with held(project.promotion_lock, f"first version, by {_NIGHT}", _PATIENCE):
        versions = _continued(project)
        if not _is_first(project, versions):
            return False
        _move(project, versions, judged(project, versions, version, ""), PROMOTED, FIRST_REASON, _NIGHT, forced=False)
        return True


def _is_first(project: Project, versions: Versions) -> bool:
    serving = in_service(project, versions)
    return not (serving.version or serving.alias)


def _continued(project: Project) -> Versions:
    """The versions, once the logs were found to continue all that was noted of them."""
    versions = versions_of(project)
    require_continued(project, versions)
    return versions


def _require_reason(reason: str) -> None:
    if is_blank(reason):
        raise InputError("a reason is needed", 'say --reason "why"')


def _agreed(serving: InService, number: str, versions: Versions) -> InService:
    """Refuse where the alias was moved through MLflow, unless this move sets it right, and where the version serves.

    Where the registry lacks the version that serves by the log, as an older copy does, the alias was not moved.
    """
    track = versions.project.track
    is_lost = bool(serving.version) and not versions.has(serving.version)
    if not serving.agrees and serving.version != number and not is_lost:
        raise VerificationFailed(
            f"the alias champion names version {serving.alias or '(none)'}, the promotion log says "
            f"{serving.version or '(none)'}: it was moved outside; '{command('promote --adopt --reason ...', track)}' "
            f"accepts it, '{command(f'promote {serving.version} --reason ...', track)}' sets it back"
        )
    if serving.agrees and serving.version == number and number:
        last = serving.promotion
        by = f" ({last.action} by {last.who} on {last.at})" if last else ""
        raise InputError(f"version {number} serves already{by}; nothing to do")
    return serving


def _refuse_forgotten(move: Move, force: bool, project: Project) -> None:
    if move.forgotten and not force:
        raise InputError(
            f"version {move.version_to} learnt from rows that were forgotten since ({listed(move.forgotten)}); "
            f"train a new one with '{project.night_command}'",
            "or say --force with a reason",
        )


def _move(project: Project, versions: Versions, move: Move, action: str, reason: str, who: str, forced: bool) -> None:
    """Log first (signed, in git, by compare-and-set), then the aliases."""
    project.claim()
    with opened(versions.number(move.version_to)) as folder:
        provenance = folder.provenance_sha256()
    record_promotion(
        project,
        Promotion(
            at=runs.now(),
            who=who,
            action=action,
            version_from=move.version_from,
            version_to=move.version_to,
            reason=reason,
            provenance_sha256=provenance,
            forced=forced,
            gates={gate.gate: gate.verdict for gate in move.gates},
            judged_by=move.judged_by(project.root / PARAMS_FILE),
        ),
    )
    # Cut short here, the alias lags behind the log: that is reported, and promoting the same version again mends it.
    align_aliases(project, versions)


def align_aliases(project: Project, versions: Versions) -> None:
    """Let MLflow's aliases say what the promotion log says. Again, it changes nothing. Call under the lock."""
    registry, serving = Registry(project, versions.model), stack(promotions(project))
    for alias, number in ((CHAMPION, serving[-1:]), (PREVIOUS, serving[-2:-1])):
        if number and versions.has(number[0]):
            registry.set_alias(alias, number[0])
        elif versions.at(alias) is not None:
            registry.drop_alias(alias)
