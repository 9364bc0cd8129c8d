"""One night, from the lock to the report; Prefect's side of it is `prefect_flow.py`.

    switchtender nightly ─ lock ─ anything new? ─ clone ─ Prefect: stages ─ record, register, report

A night with nothing new ends before Prefect is started. The gates' verdict decides whether a version is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from flows.audit.trace_index import adopt_index, update_index
from flows.night.outcome import NightEnded, ended
from flows.night.params import NightlyParams, nightly_params
from flows.notifications.sending import keep_registry_webhook
from flows.promotion.in_service import champion_of
from flows.promotion.promotion import promote_first
from flows.records.registration_log import registrations
from flows.records.signed_logs import SignedLogs
from flows.records.witness import keep, witness, witness_params
from flows.registry.mlflow_store import Registry
from flows.registry.registration import FinishedNight, log_report, register
from flows.registry.verification import proved
from flows.registry.versions import RegisterParams, Version, registered_keys, versions_of
from flows.workspace import installed_code, runs, snapshot
from flows.workspace.forgetting import settle
from flows.workspace.identity import data_digests, identify
from flows.workspace.lock import held
from flows.workspace.night_log import NightUnderWay, logged
from flows.workspace.processes import end_marked
from flows.workspace.project import NIGHT_MARK, Project
from flows.workspace.runs import ABANDONED, FINISHED, Run, clone_of
from pipeline.gating.champion import write_champion
from pipeline.gating.results import parse_verdict
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.runtime.tables import read_json, write_text
from pipeline.runtime.tracing import span, trouble
from pipeline.versions.base_models import identities
from pipeline.versions.champion_comparison import Contender, answer, choices_of, unanswered

Tell = Callable[[str], None]


def night(project: Project, tell: Tell, *, echo: bool = False, scheduled: str = "", patience: float = 0) -> NightEnded:
    """Run one night of the project's track, or find that there is nothing new.

    `scheduled` is the date and time that a schedule meant it for, `patience` how many seconds to wait for another one.

    Raises:
        HeldByAnotherRun: another night is under way.
        InputError: uncommitted code, bad params, or data that a stage refused.
        CutShort: Prefect's server is gone; run again, the night goes on from where it stopped.
        SwitchtenderError: a stage failed, or the store cannot be reached.
    """
    project.claim()
    facts = {"switchtender.track": project.track.name, "switchtender.scheduled": scheduled}
    with (
        held(project.lock, project.track.flow, patience),
        logged(project, scheduled) as entry,
        span("night", facts) as traced,
    ):
        settle(project)
        installed_code.record(project.root)
        identity = identify(project).digest
        if (same := nothing_new(project, identity)) is not None:
            done = ended(project, same, new=False)
        else:
            done = ended(project, _run(project, identity, entry, tell, echo), new=True)
        entry.ended(done.result, done.reason, done.version or "")
        if traced:
            traced.set_attributes({"switchtender.run_key": done.run_key, "switchtender.result": done.result})
        return done


def _run(project: Project, identity: str, entry: NightUnderWay, tell: Tell, echo: bool) -> Run:
    """Train where that is not done yet, then record, register and report."""
    before = runs.latest_finished(project)
    params = nightly_params(project)
    # Under the lock no other night lives: whatever bears the mark is left over from a killed one.
    end_marked(NIGHT_MARK, str(project.root))
    run, resumed = _opened(project, identity, params)
    entry.works_on(run.key)
    tell = _logging(project, run, tell)
    if why := trouble():
        tell(f"warning: no traces of this night ({why})")
    tell(f"{run.key}: {'resumed' if resumed else 'started'}")
    conclude = partial(_concluded, project, params=params, before=before, tell=tell)
    if snapshot.recorded_commit(project, run.key):
        return conclude(run)
    return _trained(project, _prepare(project, run, resumed), params, before, tell, echo, conclude)


def _logging(project: Project, run: Run, tell: Tell) -> Tell:
    """What tells a person, and writes into the run's log too."""

    def told(line: str) -> None:
        tell(line)
        runs.log(project, run.key, line)

    return told


def _opened(project: Project, identity: str, params: NightlyParams) -> tuple[Run, bool]:
    """The run to work on. One that was recorded goes on from there, without training; where its clone is not what was
    recorded any more, it is abandoned.
    """
    taken = taken_keys(project)
    run, resumed = runs.open_run(project, identity, params.timezone, taken)
    if snapshot.recorded_commit(project, run.key) and not snapshot.is_as_recorded(
        project, run.key, clone_of(project, run.key)
    ):
        runs.save(project, replace(run, state=ABANDONED, ended=runs.now()))
        return runs.open_run(project, identity, params.timezone, taken)
    return run, resumed


def taken_keys(project: Project) -> set[str]:
    """Keys of nights that git, the signed log or the registry knows."""
    noted = {entry.run_key for entry in registrations(project).values()}
    return {*snapshot.recorded_keys(project), *noted, *registered_keys(project)}


def nothing_new(project: Project, identity: str) -> Run | None:
    """The latest finished night where one now would give the same; None where a night is worth running.

    A night that the registry does not hold (its store is gone, or another one is set) is run again, to register it.

    Raises:
        SwitchtenderError: a store elsewhere cannot be reached.
    """
    before = runs.latest_finished(project)
    if before is None or before.identity != identity or not project.has_store:
        return None
    if not project.owns_store and Registry(project, "").find_run(before.key) is None:
        return None
    return before


def _prepare(project: Project, run: Run, resumed: bool) -> Run:
    """A clone with the champion and the published models written into it; a resumed run keeps its clone."""
    clone = clone_of(project, run.key)
    if not (resumed and run.commit and (clone / "dvc.yaml").is_file()):
        commit = snapshot.make_clone(project, run.key, clone)
        older = runs.latest_finished(project)
        if older is not None:
            snapshot.carry_over(clone_of(project, older.key), clone)
        # Last: a clone that was cut short before is made anew.
        uncommitted = tuple(snapshot.uncommitted_data(project))
        run = runs.save(
            project, replace(run, commit=commit, uncommitted=uncommitted, data=data_digests(project, clone))
        )
    else:
        snapshot.clear_leftovers(clone)
        snapshot.share_dvc(project, clone, project.dvc_cache)
    write_text(identities(clone / "params.yaml", project.track), clone / project.track.base_models)
    _registry(project)
    versions = versions_of(project)
    found = champion_of(project, versions)
    if found is None:
        write_champion(None, None, clone / project.track.champion)
        return run
    with proved(project, found) as folder:
        champion, choices = choices_of(Contender(found.version, found.run_key, folder))
        missing = unanswered(choices, clone / project.table, clone / project.holdout)
        if missing:
            choices = answer(choices, missing, folder.model)
    write_champion(champion, choices, clone / project.track.champion)
    return run


def _registry(project: Project) -> Registry:
    registry = Registry(project, project.params("register", RegisterParams).model)
    registry.prepare()
    return registry


def _trained(
    project: Project,
    run: Run,
    params: NightlyParams,
    before: Run | None,
    tell: Tell,
    echo: bool,
    conclude: Callable[[Run], Run],
) -> Run:
    from flows.night.prefect_server import serving

    with serving(project):
        from flows.night.prefect_flow import run_flow

        try:
            return run_flow(project, run, params, tell, echo, conclude)
        except SwitchtenderError as error:
            _report_stopped(project, run, before, error, tell)
            raise


def _report_stopped(project: Project, run: Run, before: Run | None, why: SwitchtenderError, tell: Tell) -> None:
    """Write the report of a night that was stopped; where that fails too, as on a full disk, `why` is what counts."""
    runs.log(project, run.key, str(why))
    try:
        report = _report(project, run, before, (), stopped=str(why))
    except (SwitchtenderError, OSError) as error:
        tell(f"stopped; no report ({one_line(error)})")
    else:
        tell(f"stopped; report {report.relative_to(project.root)}")


def _concluded(project: Project, run: Run, *, params: NightlyParams, before: Run | None, tell: Tell) -> Run:
    """Record, register and report. FINISHED comes last: each step bears repeating, and a night that was cut short is
    taken up under its key.
    """
    clone = clone_of(project, run.key)
    verdict = parse_verdict(read_json(clone / project.track.stages / "gate" / "verdict.json")).verdict
    commit = snapshot.record(project, run.key, clone, params.stage_timeout_minutes * 60)
    run = replace(run, commit=commit, verdict=verdict)
    registry = _registry(project)
    keep_registry_webhook(registry, tell)
    adopt_index(project)
    registered = register(
        registry,
        FinishedNight(run.key, clone, commit, run.data, run.verdict, run.started, runs.now(), params.page),
    )
    aliases: tuple[str, ...] = ()
    if registered.version:
        aliases = _taken_in(project, registered.version)
        run = replace(run, version=registered.version.version)
    head = SignedLogs(project).head
    run = replace(run, mlflow_run=registered.mlflow_run, head=head.to_line() if head else "")
    report = _report(project, run, before, aliases)
    log_report(registry, registered.mlflow_run, report)
    _witnessed(project, tell)
    return runs.save(
        project, replace(run, state=FINISHED, ended=runs.now(), stage="", report=str(report.relative_to(project.root)))
    )


def _witnessed(project: Project, tell: Tell) -> None:
    """Write the signed head where params say; a witness that cannot be reached does not undo a night."""
    params = witness_params(project)
    if not params.to:
        return
    try:
        kept = witness(project, params)
        for place in params.to:
            keep(project, kept, place)
    except SwitchtenderError as error:
        tell(f"warning: no witness of this night ({error})")


def _taken_in(project: Project, version: Version) -> tuple[str, ...]:
    """Index a new version, take the first one of a store into service where params say so; returns its aliases."""
    if project.params("register", RegisterParams).first_becomes_champion:
        promote_first(project, version)
    update_index(project, version)
    return versions_of(project).number(version.version).aliases


def _report(
    project: Project, run: Run, before: Run | None, aliases: tuple[str, ...], stopped: str | None = None
) -> Path:
    from pipeline.reports.night_facts import collect, compare
    from pipeline.reports.night_history import StageTime
    from pipeline.reports.night_report import build_report

    clone = clone_of(project, run.key)
    table = project.table
    older = clone_of(project, before.key) / table if before else None
    facts = replace(
        collect(clone, run.key, project.track),
        version=run.version or None,
        alias=", ".join(aliases) or None,
        stopped=stopped,
        ended=runs.now(),
        timings=tuple(StageTime(*timing) for timing in run.timings),
        changes=compare(older, clone / table, before.key) if before and older and older.is_file() else None,
        uncommitted=run.uncommitted,
        head=run.head,
        links={"Data Docs": f"clone/{project.track.data_docs.as_posix()}"},
    )
    path = runs.folder_of(project, run.key) / "report.html"
    build_report(facts, path)
    return path
