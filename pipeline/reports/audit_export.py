"""An audit as a folder to hand over: documentation in prose and tables, events as lines, facts as JSON, the page.

Shaped like the technical documentation and the record of events that regulators ask for of systems that decide; no
regulation is claimed to be met by it.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.reports.audit_page import render
from pipeline.reports.markdown import figures_table, markdown_table
from pipeline.runtime.errors import InputError
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.tables import write_json, write_text
from pipeline.runtime.track import track_of
from pipeline.versions.audit import Audit, Term, as_json
from pipeline.versions.commands import command
from pipeline.versions.provenance import DATA

DOCUMENTATION, EVENTS, FACTS, PAGE = "documentation.md", "events.jsonl", "audit.json", "audit.html"
_PURPOSE = """\
The router reads a prompt and chooses who answers it. It does not answer itself. It was trained on the data named below
and judged on a frozen holdout of the same source; what it does on other prompts is not known from this."""
_OVERSIGHT = """\
A night trains and judges; a person puts a version into service, with a reason, or takes it out again. A version that
learnt from rows forgotten since, or whose gates are closed, serves only by force, which is recorded."""
_LOGGING = """\
`events.jsonl` holds what was decided about this version and when it answered, oldest first. Each event stands in a
hash-chained log under a signed head; `switchtender verify --all --witness FILE` holds them against one kept
elsewhere."""


def export(audit: Audit, folder: Path) -> list[Path]:
    """Write the folder; returns its files.

    Raises:
        InputError: there is something in that folder already.
        TableError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new folder")
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in _events(audit))
    write_text(documentation(audit), folder / DOCUMENTATION)
    write_text(lines, folder / EVENTS)
    write_json(as_json(audit), folder / FACTS)
    write_text(render(audit), folder / PAGE)
    return [folder / name for name in (DOCUMENTATION, EVENTS, FACTS, PAGE)]


def _events(audit: Audit) -> list[JsonObject]:
    """Decisions and times of answering, by time."""
    found: list[JsonObject] = [
        {"at": term.since, "event": term.action, "by": term.who, "reason": term.reason, "forced": term.forced,
         "gates": term.gates, "judged_by": term.judged_by}
        for term in audit.terms
    ]  # fmt: skip
    found += [{"at": term.until, "event": "replaced"} for term in audit.terms if term.until]
    for answered in audit.answered:
        found.append({"at": answered.since, "event": "began to answer", "server": answered.server})
        if answered.until:
            found.append({"at": answered.until, "event": "ended to answer", "server": answered.server})
    return sorted(found, key=lambda event: str(event["at"]))


def _checks(audit: Audit) -> str:
    track = track_of(audit.run_key)
    return ", ".join(f"`{command(f'{verb} {audit.version}', track)}`" for verb in ("verify", "replay")) + "."


def documentation(audit: Audit) -> str:
    """What an auditor reads of a version, as Markdown."""
    facts = audit.facts
    sections = [
        (f"Version {audit.version} of {audit.model}", f"State: {audit.state}. As of {audit.asked}."),
        ("1. Purpose and limits", _PURPOSE),
        ("2. Who decided", _decisions(audit.terms) + f"\n\n{_OVERSIGHT}"),
        ("3. Data", _data(audit)),
        ("4. Training", _training(audit)),
        (
            "5. Performance",
            figures_table("figure on the holdout", facts.metrics.items())
            if facts
            else "Not known: its files are gone.",
        ),
        ("6. Known faults", "\n".join(f"- {fault}" for fault in _faults(audit)) or "None is known."),
        ("7. Record of events", _LOGGING),
        ("8. How to check it", _checks(audit)),
    ]
    return (
        "\n\n".join(f"{'#' if i == 0 else '##'} {title}\n\n{text}" for i, (title, text) in enumerate(sections)) + "\n"
    )


def _decisions(terms: tuple[Term, ...]) -> str:
    rows = [(t.since, t.until or "now", t.who, t.action + (" by force" if t.forced else ""), t.reason) for t in terms]
    return (
        markdown_table(("from", "until", "who", "act", "reason"), rows) if rows else "Nobody has put it into service."
    )


def _data(audit: Audit) -> str:
    files = markdown_table(("file", "sha256"), [(file.name, file.sha256) for file in audit.of(DATA)])
    if audit.facts is None:
        return files
    fates = markdown_table(("fate of rows", "rows"), [(name, str(count)) for name, count in audit.facts.fates.items()])
    return f"{audit.facts.taught} rows taught it.\n\n{files}\n\n{fates}"


def _training(audit: Audit) -> str:
    lines = [f"- run `{audit.run_key}`, commit `{audit.commit}`", f"- provenance sha256 `{audit.provenance_sha256}`"]
    lines += [f"- a setting that no commit had: `{changed}`" for changed in audit.uncommitted_params]
    if audit.facts is not None:
        lines += [f"- {name}: {value}" for name, value in audit.facts.provenance.environment.items()]
    return "\n".join(lines)


def _faults(audit: Audit) -> list[str]:
    forgotten = [f"it learnt from rows forgotten since: {', '.join(audit.forgotten)}"] if audit.forgotten else []
    pruned = [f"its files were removed on purpose: {audit.pruned.reason}"] if audit.pruned else []
    return [*audit.faults, *forgotten, *pruned]
