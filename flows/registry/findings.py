"""What `verify` finds: things that are not as they were recorded."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.versions.signing import FileDifference

MISSING, EXTRA, CHANGED, CUT = "missing", "extra", "changed", "cut"
FAULTS = (MISSING, EXTRA, CHANGED, CUT)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as recorded. A fault's `state` is in FAULTS; `pruned` or `only in the remote` is none."""

    where: str
    path: str
    state: str
    expected: str = ""
    actual: str = ""

    @classmethod
    def of(cls, where: str, found: FileDifference, within: str = "") -> Finding:
        """How a file or log differs; `within` is the folder that the difference names it from."""
        return cls(where, f"{within}{found.path}", found.state, found.expected, found.actual)

    @property
    def is_fault(self) -> bool:
        return self.state in FAULTS


@dataclass(frozen=True)
class Verified:
    """What was found for one version, or for the logs (`version` empty), and how many things were checked."""

    version: str
    checked: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return not any(finding.is_fault for finding in self.findings)
