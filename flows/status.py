"""What is registered, what serves, and how the last night ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.promotion.in_service import champion_of, in_service, version_named
from flows.registry.verification import proved
from flows.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Version, versions_of
from flows.workspace import runs
from flows.workspace.project import Project
from flows.workspace.runs import Run, clone_of
from pipeline.gating.results import GateResult, parse_verdict
from pipeline.metrics.bootstrap import Estimate
from pipeline.metrics.holdout_figures import read_figures
from pipeline.runtime.errors import VerificationFailed, one_line
from pipeline.runtime.plain import JsonObject, as_stored, plain_fields
from pipeline.runtime.tables import read_json
from pipeline.runtime.track import track_of


@dataclass(frozen=True)
class VersionStatus:
    """A version at an alias. `headline` names the figure that its track is first judged by, `figure` is its value."""

    alias: str
    version: str
    aliases: tuple[str, ...]
    run_key: str
    headline: str
    figure: float
    train_rows: int
    git_commit: str
    router_sha256: str

    def to_json(self) -> JsonObject:
        """The figure stands under its name."""
        told = plain_fields(self)
        return {told["headline"] if name == "figure" else name: told[name] for name in told if name != "headline"}


@dataclass(frozen=True)
class LastNight:
    """How the last finished night ended; `metrics` are the router's figures on the holdout."""

    run_key: str
    verdict: str
    version: str | None
    started: str
    ended: str
    commit: str
    gates: tuple[GateResult, ...]
    metrics: dict[str, Estimate]
    report: str

    def to_json(self) -> JsonObject:
        """Metrics as metrics.json has them."""
        return {**plain_fields(self), "metrics": as_stored(self.metrics)}


@dataclass(frozen=True)
class Status:
    """Versions by alias and the last finished night. `alias_moved_to` is the version that MLflow's alias names where
    that is not what the promotion log says.
    """

    model: str
    headline: str
    versions: tuple[VersionStatus, ...]
    alias_moved_to: str | None
    last_night: LastNight | None


def status_of(project: Project) -> Status:
    """What stands now.

    Raises:
        InputError: no store yet.
        SwitchtenderError: the store cannot be read.
    """
    versions = versions_of(project)
    serving = in_service(project, versions)
    champion = champion_of(project, versions)
    listed = [(CHAMPION, champion), *((alias, versions.at(alias)) for alias in (CHALLENGER, PREVIOUS))]
    last = runs.latest_finished(project)
    return Status(
        model=versions.model,
        headline=project.track.headline,
        versions=tuple(_version(alias, found) for alias, found in listed if found),
        alias_moved_to=None if serving.agrees else serving.alias,
        last_night=_night(project, last) if last else None,
    )


def _version(alias: str, version: Version) -> VersionStatus:
    headline = track_of(version.run_key).headline if version.run_key else ""
    missing = {headline, "train_rows", "git_commit", "router_sha256"} - version.tags.keys()
    if missing:
        raise VerificationFailed(
            f"version {version.version} at the alias '{alias}' was not registered by a night; take that alias away, or "
            f"promote another version"
        )
    return VersionStatus(
        alias=alias,
        version=version.version,
        aliases=version.aliases,
        run_key=version.run_key,
        headline=headline,
        figure=float(version.tags[headline]),
        train_rows=int(version.tags["train_rows"]),
        git_commit=version.tags["git_commit"],
        router_sha256=version.tags["router_sha256"],
    )


def _night(project: Project, run: Run) -> LastNight:
    stages = clone_of(project, run.key) / project.track.stages
    try:
        gates = parse_verdict(read_json(stages / "gate" / "verdict.json")).gates
        metrics = read_figures(read_json(stages / "evaluate" / "metrics.json")).router
    except ValueError as error:
        raise VerificationFailed(
            f"the results of {run.key} are not what a night writes ({one_line(error, 100)}); see its report"
        ) from error
    return LastNight(
        run_key=run.key,
        verdict=run.verdict,
        version=run.version or None,
        started=run.started,
        ended=run.ended,
        commit=run.commit,
        gates=gates,
        metrics=metrics,
        report=run.report,
    )


@dataclass(frozen=True)
class RouterSource:
    """Of which version and run a router is; of none where it lies in a folder of somebody's own."""

    version: str | None
    run_key: str | None


@contextmanager
def router_at(project: Project, which: str) -> Iterator[tuple[Path, RouterSource]]:
    """The router of a version number or alias, proved before it is used, and which version that is.

    Raises:
        InputError: there is no such version.
        VerificationFailed: its bytes are not what was signed.
    """
    found = version_named(project, versions_of(project), which)
    with proved(project, found) as folder:
        yield folder.model, RouterSource(found.version, found.run_key)
