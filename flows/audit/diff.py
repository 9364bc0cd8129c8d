"""Two versions side by side. Nothing is written."""

from __future__ import annotations

from flows.promotion.in_service import version_named
from flows.records.removal_log import PRUNED, RemovalLog
from flows.registry.verification import require_sound
from flows.registry.versions import Version, Versions, opened, versions_of
from flows.workspace.git import git
from flows.workspace.installed_code import CODE as CODE_RECORD
from flows.workspace.project import Project
from flows.workspace.snapshot import CODE
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.versions.diff import CodeChange, Side, VersionDiff, diff_files, diff_outcomes, diff_rows, diff_values
from pipeline.versions.folder import LINEAGE, PREDICTIONS, VersionFolder
from pipeline.versions.prediction_diff import HoldoutDiff, diff_holdouts
from pipeline.versions.provenance import Provenance


def diff(project: Project, older: str, newer: str) -> VersionDiff:
    """Compare two versions, each named by number or alias.

    Raises:
        InputError: there is no such version, or one was pruned.
        VerificationFailed: the bytes of one are not what was signed.
        SwitchtenderError: a commit or a store cannot be reached.
    """
    versions, removed = versions_of(project), RemovalLog(project)
    first, second = (_kept(project, versions, which, removed) for which in (older, newer))
    with opened(first) as old, opened(second) as new:
        require_sound(project, first, old)
        require_sound(project, second, new)
        before, after = old.provenance(), new.provenance()
        return VersionDiff(
            older=Side(first.version, before.commit),
            newer=Side(second.version, after.commit),
            rows=diff_rows(old.table(LINEAGE), new.table(LINEAGE)),
            outcomes=diff_outcomes(old.graded(), new.graded()) if old.keeps_outcomes and new.keeps_outcomes else None,
            params=diff_values(before.params, after.params),
            environment=diff_values(before.environment, after.environment),
            files=diff_files(before.materials, after.materials),
            code=code_changes(project, before.commit, after.commit),
            holdout=_holdouts(old, new, after),
        )


def _kept(project: Project, versions: Versions, which: str, removed: RemovalLog) -> Version:
    gone = removed.version(which, PRUNED)
    version = None if gone else version_named(project, versions, which)
    gone = removed.version(version.version, PRUNED) if version else gone
    if version is None or gone:
        reason = gone.reason if gone else ""
        raise InputError(f"version {which} was pruned ({reason}), so there is nothing to compare; see 'audit {which}'")
    return version


def _holdouts(old: VersionFolder, new: VersionFolder, made: Provenance) -> HoldoutDiff:
    """With as many draws and the seed that the newer version was evaluated with."""
    try:
        count, seed = int(made.params["evaluate"]["resamples"]), int(made.params["run"]["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationFailed(f"{new.root}: its params lack {error}; see 'switchtender verify'") from error
    graded = new.graded() if old.keeps_outcomes and new.keeps_outcomes else None
    return diff_holdouts(old.table(PREDICTIONS), new.table(PREDICTIONS), count, seed, graded)


def code_changes(project: Project, before: str, after: str) -> tuple[CodeChange, ...]:
    """Files of the code that differ between two commits.

    Raises:
        SwitchtenderError: a commit is not there.
    """
    listed = git(project.root, "diff", "--numstat", "--no-renames", "-z", before, after, "--", *CODE, str(CODE_RECORD))
    return tuple(_code_change(line) for line in listed.split("\0") if line)


def _code_change(line: str) -> CodeChange:
    added, removed, path = line.split("\t", 2)
    return CodeChange(path, *(None if figure == "-" else int(figure) for figure in (added, removed)))
