"""The audit as one HTML page that needs nothing else: for somebody who must answer for a version, years later.

Every text from the data and the logs is escaped by the template engine, and a content security policy in the page
forbids it to load or run anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.gating.results import GateResult
from pipeline.metrics.bootstrap import Estimate
from pipeline.reports.night_report import METRICS, Banner, page_environment
from pipeline.reports.settings import sections
from pipeline.runtime.tables import write_text
from pipeline.runtime.text import clock
from pipeline.versions.audit import IN_SERVICE, NEVER, Audit
from pipeline.versions.audit_facts import plain_rows
from pipeline.versions.provenance import BASE_MODELS, CODE, DATA, STAGE_OUTPUT

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
MOST_CHAMPIONS = 10


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
            files=[(title, found) for title, role in _OTHERS.items() if (found := audit.of(role))],
            data=audit.of(DATA),
            fates=facts.seen_fates if facts else [],
            rows=plain_rows(facts.rows) if facts else [],
            own_gates=_closed_first(facts.gates_against(champion=False)) if facts else [],
            paired_gates=_closed_first(facts.gates_against(champion=True)) if facts else [],
            metrics=_ordered(facts.metrics) if facts else {},
            params=dict(sections(facts.provenance.params)) if facts else {},
        )
    )


_OTHERS = {
    "What the stages made of them": STAGE_OUTPUT,
    "Code and settings": CODE,
    **{f"Published models: {role}": role for role in BASE_MODELS},
}


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


def _closed_first(gates: Iterable[GateResult]) -> list[GateResult]:
    return sorted(gates, key=lambda gate: gate.passed)


def _ordered(metrics: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The metrics that have a name of their own first."""
    return {name: metrics[name] for name in dict.fromkeys([*METRICS, *metrics]) if name in metrics}


def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {"clock": clock}
    environment.globals |= {"MEANINGS": MEANINGS, "MOST_CHAMPIONS": MOST_CHAMPIONS}
    return environment
