"""What `doctor --mend` puts right: only what can be told without a person, from the signed logs."""

from __future__ import annotations

from collections.abc import Iterator

from flows.audit.trace_index import index_state, rebuild_index
from flows.promotion.in_service import in_service
from flows.promotion.promotion import align_aliases
from flows.records.signed_logs import SignedLogs, begin_anew
from flows.registry.versions import versions_of
from flows.workspace import runs
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.versions.trace_index import DAMAGED


def mend(project: Project) -> list[str]:
    """Complete logs, set the aliases, rebuild the index, put damaged run records aside; says what was done.

    Again, it changes nothing.

    Raises:
        HeldByAnotherRun: a night or a promotion is under way.
        VerificationFailed: the logs are not as they were signed, which only a person can judge.
        SwitchtenderError: a store or git failed.
    """
    purpose = "mending"
    with held(project.lock, purpose), held(project.promotion_lock, purpose):
        project.claim()
        done = list(_orphaned(project))
        done += [f"completed {file} from its signed copy" for file in SignedLogs(project).complete()]
        for seen in project.both:
            done += [f"{key}: run.json set aside as run.json.damaged" for key in runs.set_aside(seen)]
            done += _registry(seen) if seen.has_store else ()
        return done


def _orphaned(project: Project) -> Iterator[str]:
    """A ref whose key, registry and files are gone with `var`: kept under another name, so that a new log can begin."""
    logs = SignedLogs(project)
    if logs.commit and logs.differences() and not has_versions(project):
        yield f"the logs of before are kept as {begin_anew(project)}; new ones begin"


def has_versions(project: Project) -> bool:
    """Whether the registry holds a version of either track."""
    return project.has_store and any(versions_of(seen).all for seen in project.both)


def is_misaligned(project: Project) -> bool:
    """Whether MLflow's alias names another version than the one that serves by the log, and could name that one."""
    if not project.has_store:
        return False
    versions = versions_of(project)
    serving = in_service(project, versions)
    return not serving.agrees and (not serving.version or versions.has(serving.version))


def _registry(project: Project) -> Iterator[str]:
    versions = versions_of(project)
    if is_misaligned(project):
        align_aliases(project, versions)
        yield "the aliases of the registry say what the promotion log says"
    if index_state(project) == DAMAGED:
        rebuilt = rebuild_index(project)
        yield f"the index of trace was built again from {rebuilt.versions} versions"
