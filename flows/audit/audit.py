"""The audit of one version: its folder, the registry, git, DVC's places and the logs, joined. Nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from flows.promotion.in_service import version_named
from flows.records.promotion_log import Promotion, promotions
from flows.records.removal_log import PRUNED, RemovalLog
from flows.records.serving_log import serving_periods
from flows.records.signed_logs import COMMAND, SignedLogs, signer_of
from flows.registry.findings import Finding
from flows.registry.forgotten import tagged_rows
from flows.registry.verification import check_folder
from flows.registry.versions import CHAMPION, PROVENANCE_TAG, Version, Versions, opened, versions_of
from flows.workspace import runs
from flows.workspace.changed_params import night_params
from flows.workspace.dvc_objects import ObjectStore, cache_of, remote_of
from flows.workspace.git import git, git_bytes
from flows.workspace.project import Project
from flows.workspace.snapshot import RUN_REF
from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed
from pipeline.versions.audit import (
    ABSENT,
    CACHE,
    CHANGED,
    GIT,
    REMOTE,
    THERE,
    UNKNOWN,
    Answered,
    Audit,
    FileLocation,
    KeptFile,
    Removal,
    Term,
)
from pipeline.versions.audit_facts import VersionFacts, read_version
from pipeline.versions.provenance import CODE, DATA, Material


def audit(project: Project, which: str) -> Audit:
    """Everything about a version, by number or alias.

    Raises:
        InputError: there is no such version.
        VerificationFailed: a log cannot be trusted, so nothing may be said about who decided.
        SwitchtenderError: a store cannot be reached.
    """
    removed, versions = RemovalLog(project), versions_of(project)
    version = _resolved(project, versions, which, removed)
    pruned = removed.version(version.version, PRUNED)
    facts, faults = (None, ()) if pruned else _read(project, version)
    commit = facts.provenance.commit if facts else version.tags.get("git_commit", "")
    ref = f"{RUN_REF}{version.run_key}"
    own, before, after = _terms(promotions(project), version.version)
    files = tuple(_files(project, facts, removed)) if facts else ()
    return Audit(
        asked=runs.now(),
        model=versions.model,
        version=version.version,
        run_key=version.run_key,
        mlflow_run=version.mlflow_run,
        aliases=version.aliases,
        terms=own,
        before=before,
        after=after,
        answered=tuple(
            Answered("command line" if s.server == COMMAND else s.server, s.since, s.until)
            for s in serving_periods(project)
            if s.version == version.version
        ),
        commit=commit,
        ref=ref,
        provenance_sha256=facts.provenance_sha256 if facts else version.tags.get(PROVENANCE_TAG, ""),
        forgotten=tuple(sorted(tagged_rows(version))),
        pruned=Removal(pruned.at, pruned.who, pruned.reason) if pruned else None,
        alias_moved_to=_moved(project, versions),
        uncommitted_params=tuple(night_params(project, commit, facts.provenance.params)) if facts else (),
        records=head.to_line() if (head := SignedLogs(project).head) else "",
        key=signer_of(project).fingerprint(),
        faults=() if pruned else (*faults, *_lost_commit(project, ref, commit), *_lost_bytes(files)),
        files=files,
        facts=facts,
    )


def _resolved(project: Project, versions: Versions, which: str, removed: RemovalLog) -> Version:
    """A pruned version may be gone from the registry too: that is an answer, not a wrong number."""
    try:
        return version_named(project, versions, which)
    except InputError:
        if which.isdigit() and removed.version(which, PRUNED):
            return Version(which, "", "", "", {}, ())
        raise


def _read(project: Project, version: Version) -> tuple[VersionFacts | None, tuple[str, ...]]:
    with opened(version) as folder:
        faults = tuple(_told(found) for found in check_folder(project, version, folder) if found.is_fault)
        try:
            return read_version(folder), faults
        except VerificationFailed as error:
            return None, (*faults, str(error))


def _told(found: Finding) -> str:
    return f"{found.where}: {found.path} is {found.state}"


def _lost_commit(project: Project, ref: str, commit: str) -> list[str]:
    kept = git(project.root, "for-each-ref", "--format=%(objectname)", ref)
    return [] if kept == commit else [f"git: {ref} {'names another commit' if kept else 'is missing'}"]


def _lost_bytes(files: tuple[KeptFile, ...]) -> Iterator[str]:
    """Files that are changed somewhere, or nowhere at all though nobody removed them."""
    for file in files:
        states = [found.state for found in file.places]
        yield from (f"{found.place}: {file.name} is changed" for found in file.places if found.state == CHANGED)
        if states and set(states) == {ABSENT}:
            yield f"{file.name} is in none of {', '.join(found.place for found in file.places)}"


def _moved(project: Project, versions: Versions) -> str | None:
    served, alias = promotions(project), versions.at(CHAMPION)
    recorded, actual = served[-1].version_to if served else "", alias.version if alias else ""
    return None if recorded == actual else actual or "none"


def _terms(served: list[Promotion], number: str) -> tuple[tuple[Term, ...], tuple[Term, ...], Term | None]:
    """The version's own terms, the champions' before its last one (newest first), and the one after it."""
    ends = [promotion.at for promotion in served[1:]] + [""]
    terms = [
        Term(p.version_to, p.at, until, p.who, p.action, p.reason, p.forced, p.gates, p.judged_by)
        for p, until in zip(served, ends, strict=False)
    ]
    own = [place for place, term in enumerate(terms) if term.version == number]
    last = own[-1] if own else len(terms)
    after = terms[last + 1] if last + 1 < len(terms) else None
    return tuple(terms[place] for place in own), tuple(reversed(terms[:last])), after


@dataclass(frozen=True)
class _Places:
    """DVC's cache and remote; `remote` is None where it cannot be reached, and `why` says so."""

    cache: ObjectStore
    remote: ObjectStore | None
    why: str = ""


def _places(project: Project) -> _Places:
    try:
        return _Places(cache_of(project), remote_of(project))
    except SwitchtenderError as error:
        return _Places(cache_of(project), None, str(error))


def _files(project: Project, facts: VersionFacts, removed: RemovalLog) -> Iterator[KeptFile]:
    places, commit = _places(project), facts.provenance.commit
    for material in facts.provenance.materials:
        digest = material.digest.get("sha256") or next(iter(material.digest.values()), "")
        yield KeptFile(
            material.name, material.role, digest, tuple(_locations(project, material, places, commit, removed))
        )


def _locations(
    project: Project, material: Material, places: _Places, commit: str, removed: RemovalLog
) -> Iterator[FileLocation]:
    """Data files are hashed where they lie; of a stage's outputs it is only looked whether they are there."""
    md5 = material.notes.get("md5", "")
    if md5:
        yield _at(places.cache, CACHE, material, removed)
        if places.remote is None:
            yield FileLocation(REMOTE, "", UNKNOWN, places.why)
        else:
            yield _at(places.remote, REMOTE, material, removed)
    elif material.role in (DATA, CODE):
        yield FileLocation(GIT, f"{commit}:{material.name}", _in_git(project, commit, material))


def _at(place: ObjectStore, name: str, material: Material, removed: RemovalLog) -> FileLocation:
    md5 = material.notes["md5"]
    path, gone = place.path(md5), removed.object(md5)
    try:
        state = _state(place, material)
    except SwitchtenderError as error:
        return FileLocation(name, path, UNKNOWN, str(error))
    if state == ABSENT and gone:
        return FileLocation(name, path, gone.kind, f"{gone.at}, {gone.who}: {gone.reason}")
    return FileLocation(name, path, state)


def _state(place: ObjectStore, material: Material) -> str:
    md5 = material.notes["md5"]
    if material.role == DATA:
        found = place.digests(md5)
        if found is None:
            return ABSENT
        return THERE if found.sha256 == material.digest["sha256"] else CHANGED
    try:
        place.open(md5).close()
    except FileNotFoundError:
        return ABSENT
    return THERE


def _in_git(project: Project, commit: str, material: Material) -> str:
    try:
        content = git_bytes(project.root, "cat-file", "blob", f"{commit}:{material.name}")
    except SwitchtenderError:
        return ABSENT
    same = hashlib.sha256(content).hexdigest() == material.digest["sha256"]
    return THERE if same else CHANGED
