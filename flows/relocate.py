"""Mending what a copy or a move leaves behind: MLflow's addresses, and the refs that prove runs and promotions.

`cp -a` and `mv` of a whole checkout need no more than the addresses. A fresh clone into which somebody put a `var`
lacks git's own part, `refs/switchtender/*`: it is taken from the runs' clones, `origin` and the earlier folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.records.signed_logs import REF, SignedLogs
from flows.registry.relocation import relocate_rows, rows_name
from flows.workspace import runs
from flows.workspace.git import git
from flows.workspace.project import Project
from flows.workspace.snapshot import RUN_REF
from pipeline.runtime.errors import SwitchtenderError

_NOTHING = "0" * 40


@dataclass(frozen=True)
class Relocation:
    """How many of MLflow's rows were rewritten, which refs were found again, and which are still missing."""

    rows: int
    restored: tuple[str, ...]
    missing: tuple[str, ...]


def relocate(project: Project) -> Relocation:
    """Make a copied or moved project whole. Again, it changes nothing.

    Raises:
        InputError: the registry's rows name a place that is still in use, or the registry is asked over HTTP.
        SwitchtenderError: a store or git failed.
    """
    earlier, lacking = project.home, missing_refs(project)
    rows = relocate_rows(project, moved_for_good=True)
    restored = tuple(ref for ref in lacking if _restored(project, ref, earlier))
    project.claim()
    return Relocation(rows, restored, tuple(missing_refs(project)))


def is_elsewhere(project: Project) -> bool:
    """Whether MLflow's rows name the artifacts of another folder; our own commands know better, MLflow's do not."""
    return project.owns_store and project.has_store and rows_name(project).moved


def missing_refs(project: Project) -> list[str]:
    """The refs of finished runs and of the logs that lie in `var` and not in this repository's git."""
    there = set(git(project.root, "for-each-ref", "--format=%(refname)", "refs/switchtender").splitlines())
    return [ref for ref in _refs(project) if ref not in there]


def _refs(project: Project) -> Iterator[str]:
    for seen in project.both:
        yield from (f"{RUN_REF}{run.key}" for run in runs.all_runs(seen) if run.state == runs.FINISHED)
    if SignedLogs(project).differences():
        yield REF


def _restored(project: Project, ref: str, earlier: Path | None) -> bool:
    """Whether a ref was found where its content is what `var` says; nothing else is taken."""
    for source, name in _sources(project, ref, earlier):
        try:
            git(project.root, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", source, f"{name}:{ref}")
        except SwitchtenderError:
            continue
        if _is_expected(project, ref):
            return True
        git(project.root, "update-ref", "-d", ref)
    return False


def _sources(project: Project, ref: str, earlier: Path | None) -> Iterator[tuple[str, str]]:
    """Repositories that may hold a ref, and under which name; only reading is done there."""
    if ref.startswith(RUN_REF):
        yield str(runs.clone_of(project, ref.removeprefix(RUN_REF))), "HEAD"
    if "origin" in git(project.root, "remote").split():
        yield "origin", ref
    if earlier is not None and earlier != project.root.resolve():
        yield str(earlier), ref


def _is_expected(project: Project, ref: str) -> bool:
    """A run's ref names the commit of its record; that of the logs agrees with their files."""
    if ref == REF:
        return not SignedLogs(project).differences()
    for seen in project.both:
        for run in runs.all_runs(seen):
            if ref == f"{RUN_REF}{run.key}":
                return git(project.root, "rev-parse", ref) == run.commit
    return False
