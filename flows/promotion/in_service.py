"""Which version serves: what the signed promotion log says, and whether MLflow's alias says the same."""

from __future__ import annotations

from dataclasses import dataclass

from flows.records.promotion_log import Promotion, promotions
from flows.registry.versions import CHAMPION, Version, Versions
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed


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
    alias = versions.at(CHAMPION)
    last = next(reversed(promotions(project)), None)
    return InService(last.version_to if last else "", alias.version if alias else "", last)


def champion_of(project: Project, versions: Versions) -> Version | None:
    """The version in service by the promotion log, or None where there is none.

    Raises:
        VerificationFailed: the log cannot be trusted, or the registry does not have that version.
    """
    serving = in_service(project, versions)
    if not serving.version:
        return None
    if not versions.has(serving.version):
        raise VerificationFailed(
            f"version {serving.version} serves by the promotion log and is not in the registry (is var an older "
            "copy?); put the registry back, or promote another version with --force"
        )
    return versions.number(serving.version)


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
