"""Proving a whole project: versions, logs, what witnesses kept of them, and the index of `trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from flows.audit.trace_index import index_state
from flows.promotion.in_service import version_named
from flows.records.removal_log import RemovalLog
from flows.records.witness import read_witness
from flows.registry.findings import CHANGED, Finding, Verified
from flows.registry.records_check import check_records
from flows.registry.verification import check_version
from flows.registry.versions import Version, versions_of
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed
from pipeline.versions.trace_index import DAMAGED

Shown = Callable[[Sequence[Version]], Iterable[Version]]
"""Goes through versions, and may show how far it is."""


def verify(project: Project, which: str, every: bool, witnesses: Sequence[str], shown: Shown) -> list[Verified]:
    """What was found of one version, or of all; of the logs; and of the index.

    Raises:
        InputError: there is no such version, or a witness holds nothing.
        SwitchtenderError: a store, remote or witness cannot be reached, so nothing can be said.
    """
    versions = versions_of(project)
    kept = [found for place in witnesses for found in read_witness(project, place)]
    records = check_records(project, versions, kept)
    try:
        chosen = versions.all if every else [version_named(project, versions, which)]
        removed = RemovalLog(project)
    except VerificationFailed:
        if records.sound:
            raise
        return [records]  # what nobody can vouch for excuses nothing and names nothing
    whole = replace(records, checked=records.checked + 1, findings=(*records.findings, *_index(project)))
    return [*(check_version(project, version, removed) for version in shown(chosen)), whole]


def _index(project: Project) -> Iterator[Finding]:
    if index_state(project) == DAMAGED:
        name = project.trace_index.name
        yield Finding("index", name, CHANGED, "as it was signed", "'switchtender doctor --mend' builds it anew")
