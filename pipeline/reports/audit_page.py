"""The audit as one HTML page that needs nothing else: for somebody who must answer for a version, years later.

Every text from the data and the logs is escaped by the template engine, and a content security policy in the page
forbids it to load or run anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.reports.night_report import METRICS, page_environment
from pipeline.runtime.tables import write_text
from pipeline.versions.audit import IN_SERVICE, NEVER, Audit, Term
from pipeline.versions.audit_facts import FATES, plain_rows
from pipeline.versions.diff import dotted
from pipeline.versions.provenance import CODE, DATA, ENCODER, STAGE_OUTPUT

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "audit.html.j2"
MEANINGS = {
    "kept": "went on unchanged",
    "flagged": "its label looks wrong to models that had not seen the row; kept, and shown to people",
    "relabelled": "a person changed its label",
    "excluded": "a person took it out",
    "quarantined": "put aside, with the reason; taught nothing",
    "augmented": "made by machine from other rows, so that rare agents are learnt too",
    "refused": "made by machine and thrown away before training",
}
PAIRED = "champion_"
MOST_CHAMPIONS = 10


@dataclass(frozen=True)
class Banner:
    """The first thing read: tone `good`, `bad` or `plain`, a headline, and what to know about it."""

    tone: str
    headline: str
    detail: str


def build_page(audit: Audit, path: Path) -> None:
    """Write the page whole.

    Raises:
        TableError: the place cannot be written.
    """
    write_text(render(audit), path)


def render(audit: Audit) -> str:
    """The page as HTML; the same facts give the same text."""
    facts = audit.facts
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            audit=audit,
            facts=facts,
            banner=banner(audit),
            files=[(title, audit.of(role)) for title, role in _OTHERS.items()],
            data=audit.of(DATA),
            fates=[fate for fate in FATES if facts and facts.fates[fate]],
            rows=plain_rows(facts.rows) if facts else [],
            gates=_gates(facts.gates) if facts else ((), ()),
            metrics=_ordered(facts.metrics) if facts else {},
            params=_sections(facts.provenance.params) if facts else {},
        )
    )


_OTHERS = {"What the stages made of them": STAGE_OUTPUT, "Code and settings": CODE, "Language model files": ENCODER}


def banner(audit: Audit) -> Banner:
    """Whether it serves, and whether it can be trusted; a fault outweighs all else."""
    number = f"Version {audit.version}"
    if audit.faults:
        return Banner(
            "bad", f"{number} is not as it was recorded", "Do not rely on the facts below before it is mended."
        )
    if audit.pruned:
        return Banner("plain", f"{number} was removed on purpose", _removed(audit))
    if audit.state == NEVER:
        return Banner("plain", f"{number} has never been in service", "")
    last = audit.terms[-1]
    if audit.state == IN_SERVICE:
        return Banner("good", f"{number} is in service", f"Since {clock(last.since)} UTC.")
    return Banner("plain", f"{number} is no longer in service", f"It served until {clock(last.until)} UTC.")


def _removed(audit: Audit) -> str:
    gone = audit.pruned
    return f"By {gone.who} on {clock(gone.at)} UTC: {gone.reason}" if gone else ""


def clock(moment: str) -> str:
    """A moment of a log (UTC, ISO 8601) to the minute."""
    return moment[:16].replace("T", " ")


def shut(term: Term) -> list[str]:
    """The gates that had not passed when it was put into service."""
    return [gate for gate, verdict in term.gates.items() if verdict != "passed"]


def _gates(gates: tuple[dict[str, Any], ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those on the version alone, and those against the champion of its night; what did not pass comes first."""
    ordered = sorted(gates, key=lambda gate: gate["verdict"] == "passed")
    paired = [gate for gate in ordered if str(gate["gate"]).startswith(PAIRED)]
    return [gate for gate in ordered if gate not in paired], paired


def _ordered(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in dict.fromkeys([*METRICS, *metrics]) if name in metrics}


def _sections(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        section: dotted(values) if isinstance(values, Mapping) else {"": values} for section, values in params.items()
    }


def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {"clock": clock, "shut": shut}
    environment.globals |= {"MEANINGS": MEANINGS, "PAIRED": PAIRED, "MOST_CHAMPIONS": MOST_CHAMPIONS}
    return environment
