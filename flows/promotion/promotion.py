"""Moving a version into service and back: bytes proved, gates read again, the champion of today compared.

The alias moves by compare-and-set under our lock, since MLflow has none; an alias that somebody moved through
MLflow's own API is noticed and not served until it is adopted.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flows.records.promotion_log import ADOPTED, PROMOTED, ROLLED_BACK, Promotion, PromotionLog, stack, who_am_i
from flows.records.serving_log import record_swap
from flows.registry.mlflow_store import Registry
from flows.registry.verification import proved, require_sound
from flows.registry.versions import CHAMPION, PREVIOUS, Version, Versions, opened, versions_of
from flows.workspace import runs
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.git import git
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.gating.results import GateResult
from pipeline.runtime.errors import GateNotPassed, InputError, SwitchtenderError, VerificationFailed
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.track import MODELS
from pipeline.versions.champion_comparison import Contender, rematch
from pipeline.versions.folder import VersionFolder

FORGOTTEN_TAG = "switchtender.forgotten_rows"
FIRST_REASON = "first gated version of a store without a champion"


@dataclass(frozen=True)
class InService:
    """What the promotion log says serves, and what MLflow's alias says. They differ where somebody moved the alias."""

    version: str
    alias: str
    promotion: Promotion | None

    @property
    def agrees(self) -> bool:
        return self.version == self.alias


def in_service(project: Project, versions: Versions) -> InService:
    """Who serves, by the log held against its signed head.

    Raises:
        VerificationFailed: the log cannot be trusted, so nothing may be said.
    """
    promotions = PromotionLog(project).proved()
    version_named = versions.at(CHAMPION)
    last = promotions[-1] if promotions else None
    return InService(last.version_to if last else "", version_named.version if version_named else "", last)


@dataclass(frozen=True)
class Move:
    """What a promotion or rollback would do: from, to, and the gates as read today."""

    version_from: str
    version_to: str
    gates: tuple[GateResult, ...]

    @property
    def closed(self) -> list[str]:
        return [gate.gate for gate in self.gates if not gate.passed]


def promote(
    project: Project, number: str, reason: str, *, who: str = "", force: bool = False, dry_run: bool = False
) -> Move:
    """Put a version into service. `who` is the person where it is not the account that this runs under.

    Raises:
        InputError: no such version, no reason, it serves already, or it holds forgotten rows.
        GateNotPassed: a gate is closed and `force` was not given.
        VerificationFailed: bytes, signature, log or alias are not as recorded; `force` does not help.
        HeldByAnotherRun: another promotion is under way.
    """
    _require_reason(reason)
    who = who or who_am_i(project)
    with held(project.promotion_lock, f"promotion of version {number} by {who}"):
        versions = versions_of(project)
        candidate = versions.number(number)
        serving = _agreed(in_service(project, versions), number)
        _refuse_forgotten(candidate, force)
        move = _judged(project, versions, candidate, serving.version)
        if move.closed and not force:
            raise GateNotPassed(
                f"version {number} is not promoted: {', '.join(move.closed)} did not pass",
                "--force with a reason puts it into service all the same, and is recorded",
            )
        if not dry_run:
            needed = bool(move.closed) or FORGOTTEN_TAG in candidate.tags
            _move(project, versions, move, PROMOTED, reason, who, force and needed)
        return move


def rollback(project: Project, reason: str, *, who: str = "", force: bool = False, dry_run: bool = False) -> Move:
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
        versions = versions_of(project)
        serving = _agreed(in_service(project, versions), "")
        version_named(project, versions, CHAMPION)
        before = stack(PromotionLog(project).promotions())[:-1]
        if not before:
            raise InputError(f"nothing served before version {serving.version}; there is nothing to go back to")
        target = versions.number(before[-1])
        _refuse_forgotten(target, force)
        with proved(project, target):
            move = Move(serving.version, target.version, ())
        if not dry_run:
            _move(project, versions, move, ROLLED_BACK, reason, who, force and FORGOTTEN_TAG in target.tags)
        return move


def adopt(project: Project, reason: str, *, dry_run: bool = False) -> Move:
    """Accept an alias that was moved through MLflow's own API: the version is proved, then recorded as serving.

    Raises:
        InputError: no reason, or the alias was not moved.
        VerificationFailed: the version's bytes are not as recorded.
    """
    _require_reason(reason)
    who = who_am_i(project)
    with held(project.promotion_lock, f"adoption by {who}"):
        versions = versions_of(project)
        serving = in_service(project, versions)
        if serving.agrees or not serving.alias:
            raise InputError("the alias champion is where the promotion log says; there is nothing to adopt")
        target = versions.number(serving.alias)
        with proved(project, target):
            move = Move(serving.version, target.version, ())
        if not dry_run:
            _move(project, versions, move, ADOPTED, reason, who, forced=False)
        return move


def promote_first(project: Project, version: Version, flow: str) -> bool:
    """Take a store's first gated version into service; False where one serves already."""
    with held(project.promotion_lock, f"first version, by {flow}"):
        versions = versions_of(project)
        serving = in_service(project, versions)
        if serving.version or serving.alias:
            return False
        with proved(project, version) as folder:
            gates = folder.gates()
        _move(project, versions, Move("", version.version, gates), PROMOTED, FIRST_REASON, flow, forced=False)
        return True


def champion_of(project: Project, versions: Versions) -> Version | None:
    """The version in service by the promotion log, or None where there is none."""
    serving = in_service(project, versions)
    return versions.number(serving.version) if serving.version else None


def version_named(project: Project, versions: Versions, which: str) -> Version:
    """A version by number, or by alias: `champion` is what the promotion log says serves.

    Raises:
        InputError: there is no such version.
        VerificationFailed: the promotion log cannot be trusted.
    """
    if which.isdigit():
        return versions.number(which)
    found = champion_of(project, versions) if which == CHAMPION else versions.at(which)
    if found is None:
        raise versions.none_at(which)
    return found


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InputError("a reason is needed", 'say --reason "why"')


def _agreed(serving: InService, number: str) -> InService:
    """Refuse where the alias was moved through MLflow, unless this move sets it right, and where the version serves."""
    if not serving.agrees and serving.version != number:
        raise VerificationFailed(
            f"the alias champion names version {serving.alias or '(none)'}, the promotion log says "
            f"{serving.version or '(none)'}: it was moved outside; 'switchtender promote --adopt --reason ...' "
            f"accepts it, 'switchtender promote {serving.version} --reason ...' sets it back"
        )
    if serving.agrees and serving.version == number and number:
        last = serving.promotion
        by = f" ({last.action} by {last.who} on {last.at})" if last else ""
        raise InputError(f"version {number} serves already{by}; nothing to do")
    return serving


def _refuse_forgotten(version: Version, force: bool) -> None:
    rows = version.tags.get(FORGOTTEN_TAG, "")
    if rows and not force:
        raise InputError(
            f"version {version.version} learnt from rows that were forgotten since ({rows}); train a new one with "
            "'make nightly'",
            "or say --force with a reason",
        )


def _judged(project: Project, versions: Versions, candidate: Version, serving: str) -> Move:
    """The candidate's own gates as recorded, and those against the champion of today."""
    params_file = project.root / "params.yaml"
    with proved(project, candidate) as folder:
        own = folder.gates()
        if not serving or serving == candidate.version:
            return Move(serving, candidate.version, own)
        champion = versions.number(serving)
        with opened(champion) as theirs, tempfile.TemporaryDirectory() as place:
            _require_readable(project, champion, theirs)
            results = rematch(
                Contender(candidate.version, candidate.run_key, folder),
                Contender(champion.version, champion.run_key, theirs),
                _dataset(project, folder, Path(place)),
                params_file,
                read("run", RunParams, params_file).seed,
            )
    # The comparison with the champion of that night is replaced by the one with today's.
    own = tuple(gate for gate in own if gate.against != "champion")
    return Move(serving, candidate.version, (*own, *results))


def _require_readable(project: Project, champion: Version, folder: VersionFolder) -> None:
    try:
        require_sound(project, champion, folder)
    except VerificationFailed as error:
        raise VerificationFailed(
            f"the champion, version {champion.version}, cannot be trusted, so nothing is compared with it ({error}); "
            "'switchtender rollback' leaves it"
        ) from error


def _dataset(project: Project, folder: VersionFolder, place: Path) -> Path:
    """The table that the version was made from, out of git, or DVC's cache or remote."""
    provenance = folder.provenance()
    table = provenance.params.get("models", {}).get("validate", {}).get("table") if project.track is MODELS else None
    name = str(table or DATASET)
    md5 = next((m.notes.get("md5", "") for m in provenance.materials if m.name == name), "")
    copy = place / Path(name).name
    if not md5:
        copy.write_text(git(project.root, "cat-file", "blob", f"{provenance.commit}:{name}", strip=False), "utf-8")
        return copy
    for where in (cache_of(project), remote_of(project)):
        try:
            with where.open(md5) as file, copy.open("wb") as to:
                shutil.copyfileobj(file, to)
            return copy
        except FileNotFoundError:
            continue
    raise SwitchtenderError(f"the prompts of that version ({md5}) are in no cache or remote; see 'switchtender verify'")


def _move(project: Project, versions: Versions, move: Move, action: str, reason: str, who: str, forced: bool) -> None:
    """Log first (signed, in git, by compare-and-set), then the aliases, then the served log."""
    project.claim()
    target = versions.number(move.version_to)
    with opened(target) as folder:
        provenance = folder.provenance_sha256()
    log = PromotionLog(project)
    log.record(
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
        )
    )
    # Cut short here, the alias lags behind the log: that is reported, and promoting the same version again mends it.
    registry = Registry(project, versions.model)
    registry.set_alias(CHAMPION, move.version_to)
    before = stack(log.promotions())[:-1]
    if before:
        registry.set_alias(PREVIOUS, before[-1])
    else:
        registry.drop_alias(PREVIOUS)
    record_swap(project, move.version_to, provenance)
