"""`audit`: what a version is made of; it reads, and writes only the files that the user named."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.data.names import SEPARATOR
from pipeline.runtime.errors import InputError, VerificationFailed, listed
from pipeline.runtime.text import clock, counted
from pipeline.versions.commands import see_verify
from switchtender.options import Json, TrackOption, VersionArgument
from switchtender.show import SHORT_SHA256, print_gates, print_json, print_table, say, say_aside, say_fact, short

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.versions.audit import Audit, Term
    from pipeline.versions.audit_facts import RowFilter, VersionFacts

MOST_SUSPECTS, MOST_CHAMPIONS = 10, 10
SHORT_FATES = {
    "relabelled": "relab.",
    "excluded": "excl.",
    "quarantined": "quar.",
    "augmented": "augm.",
    "refused": "ref.",
}

app = typer.Typer()


@app.command(epilog="Example: switchtender audit champion --html audit.html")
def audit(
    version: VersionArgument = "champion",
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write a folder to hand over: documentation, events, facts, page.")
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Each row's fate.")] = False,
    agent: Annotated[str, typer.Option("--agent", help="Only rows with this agent.")] = "",
    fate: Annotated[str, typer.Option("--fate", help="Only rows of this fate, such as relabelled.")] = "",
    split: Annotated[str, typer.Option("--split", help="Only rows of train or holdout.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Write those rows to a .csv or .parquet file.")] = None,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """What a version is made of, who put it into service and why, and what happened to every row."""
    from flows.audit import audit as auditing
    from flows.workspace.project import find_project
    from pipeline.versions.audit_facts import RowFilter

    found = auditing.audit(find_project(track=track), version)
    which = RowFilter(agent, fate, split)
    chosen = _rows(found, which) if rows or out or which != RowFilter() else None
    _write(found, html, chosen, out)
    if export is not None:
        from pipeline.reports.audit_export import export as hand_over

        written = hand_over(found, export)
        say_aside(f"{len(written)} files written to {export}")
    if as_json:
        _print_as_json(found, chosen)
    else:
        _print_audit(found)
        if chosen is not None and out is None:
            _print_rows(chosen, which)
        _say_written(html, out, chosen)
    if found.faults:
        raise VerificationFailed(f"version {found.version} is not as recorded: {found.faults[0]}; {see_verify(found)}")


def _rows(found: Audit, which: RowFilter) -> pd.DataFrame:
    from pipeline.versions.audit_facts import chosen_rows

    if found.facts is not None:
        return chosen_rows(found.facts, which)
    if found.pruned:
        raise InputError(f"version {found.version} was pruned ({found.pruned.reason}); its rows are no longer known")
    raise VerificationFailed(f"the rows of version {found.version} cannot be read: {found.faults[-1]}")


def _write(found: Audit, html: Path | None, rows: pd.DataFrame | None, out: Path | None) -> None:
    """The page and the table of rows, each where it was asked for."""
    if html is not None:
        from pipeline.reports.audit_page import build_page

        build_page(found, html)
    if rows is not None and out is not None:
        from pipeline.runtime.tables import write_table

        write_table(rows, out)


def _print_as_json(found: Audit, rows: pd.DataFrame | None) -> None:
    from pipeline.versions.audit import as_json
    from pipeline.versions.audit_facts import plain_rows

    print_json(as_json(found) | ({} if rows is None else {"rows": plain_rows(rows)}))


def _say_written(html: Path | None, out: Path | None, rows: pd.DataFrame | None) -> None:
    if out is not None and rows is not None:
        say(f"{len(rows)} rows written to {out}")
    if html is not None:
        say(f"page written to {html}")


def _print_audit(found: Audit) -> None:
    _print_headline(found)
    _print_terms(found)
    if found.facts is None:
        return
    _print_files(found)
    _print_fates(found.facts)
    _print_labels(found.facts)
    _print_figures(found.facts)
    _print_params(found.facts)


def _print_headline(found: Audit) -> None:
    say(f"Version {found.version} of {found.model}: {_headline(found)}")
    say_fact("bytes", _soundness(found))
    if found.alias_moved_to:
        say_fact(
            "ALIAS MOVED", f"MLflow's champion is version {found.alias_moved_to}, the promotion log says otherwise"
        )
    if found.forgotten:
        say_fact("FORGOTTEN", f"it learnt from rows that were forgotten since: {', '.join(found.forgotten)}")
    for changed in found.uncommitted_params:
        say_fact("NO COMMIT", f"its night ran with {changed}")
    say_fact("aliases", ", ".join(found.aliases) or "none")
    say_fact("run", found.run_key or "unknown")
    say_fact("commit", found.commit or "unknown")
    say_fact("kept by", found.ref)
    say_fact("provenance", found.provenance_sha256 or "unknown")
    if found.facts is not None:
        made = found.facts.provenance
        fingerprint = [f"{name} {short(value)}" for name, value in made.environment.items()]
        say_fact("keeps", f"training prompts in {', '.join(found.facts.training_material) or 'no file'}")
        say_fact("signed by", f"key {short(found.key) or 'of a Sigstore identity'}")
        say_fact("made", f"{clock(made.started)} to {clock(made.ended)} UTC")
        say_fact("environment", ", ".join(fingerprint))


def _headline(found: Audit) -> str:
    """In one line: whether it serves, since when or till when."""
    from pipeline.versions.audit import IN_SERVICE

    if not found.terms:
        return found.state
    last = found.terms[-1]
    if found.state == IN_SERVICE:
        return f"in service since {clock(last.since)} UTC"
    return f"served {clock(last.since)} to {clock(last.until)} UTC"


def _soundness(found: Audit) -> str:
    """In one line: whether its bytes are as signed."""
    if found.pruned:
        return f"PRUNED {found.pruned.at} by {found.pruned.who}: {found.pruned.reason}"
    return f"NOT AS RECORDED: {'; '.join(found.faults)}" if found.faults else "as signed"


def _print_terms(found: Audit) -> None:
    if found.terms:
        _print_term_table("Who put it into service, and why", reversed(found.terms))
    if found.after:
        _print_term_table("Replaced by", [found.after])
    if found.answered:
        rows = [[one.server, clock(one.since), clock(one.until) or "now"] for one in found.answered]
        print_table("When it answered", ["server", "since", "until"], rows)
    if found.before:
        title = "Champions before it" if found.terms else "Champions so far"
        _print_term_table(title, found.before[:MOST_CHAMPIONS])
        if len(found.before) > MOST_CHAMPIONS:
            say(f"  and {len(found.before) - MOST_CHAMPIONS} before those; --json lists each")


def _print_term_table(title: str, terms: Any) -> None:
    rows = [
        [term.version, f"{clock(term.since)} to {clock(term.until) or 'now'}", term.who, _act(term), term.reason]
        for term in terms
    ]
    print_table(title, ["", "served (UTC)", "by", "act", "reason"], rows)


def _act(term: Term) -> str:
    return f"{term.action}, FORCED past {', '.join(term.closed)}" if term.forced else term.action


def _print_files(found: Audit) -> None:
    from pipeline.versions.audit import CACHE, GIT, REMOTE
    from pipeline.versions.provenance import BASE_MODELS, DATA, STAGE_OUTPUT

    rows = [[file.name, file.sha256[:SHORT_SHA256], _where(file.places)] for file in found.of(DATA)]
    print_table("Data files, and where their bytes lie now", ["file", "sha256", "bytes"], rows)
    outputs = found.of(STAGE_OUTPUT)
    if outputs:
        counts = ", ".join(f"{sum(f.at(p) == 'there' for f in outputs)} in the {p}" for p in (CACHE, REMOTE))
        say(f"  and {len(outputs)} outputs of stages: {counts}")
        say(f"  --json lists each; {GIT} holds the code")
    for role, models in ((role, found.of(role)) for role in BASE_MODELS):
        if models:
            say(f"  {role}: {listed((f'{file.name} {file.sha256[:SHORT_SHA256]}' for file in models), 1)}")


def _where(places: Any) -> str:
    return ", ".join(place.place if place.state == "there" else f"{place.place}: {place.state}" for place in places)


def _print_fates(facts: VersionFacts) -> None:
    seen = facts.seen_fates
    totals = ", ".join(f"{facts.fates[fate]} {fate}" for fate in seen)
    say("")
    say(f"{len(facts.rows)} rows: {totals}; {facts.taught} taught the router, {facts.split('holdout')} test it")
    scored = any(one.f1 is not None for one in facts.agents)
    rows = [
        [one.agent, *([one.f1] if scored else []), one.taught, one.holdout, *(one.fates[fate] for fate in seen)]
        for one in facts.agents
    ]
    columns = ["agent", *(["F1"] if scored else []), "taught", "test", *(SHORT_FATES.get(f, f) for f in seen)]
    print_table("Rows by agent (a row of two agents counts twice)", columns, rows)
    if missed := [f"{one.agent} ({counted(one.holdout, 'prompt')})" for one in facts.agents if one.is_missed]:
        say(f"Found in none of its prompts of the holdout: {listed(missed)}.")


def _print_labels(facts: VersionFacts) -> None:
    reviews = [
        [r.prompt_id, r.decision, r.agents, r.reviewer, r.reviewed_on, r.note, r.standing] for r in facts.reviews
    ]
    if reviews:
        columns = ["row", "decision", "agents", "by", "on", "note", "standing"]
        print_table("People's decisions on labels", columns, reviews)
    suspects = facts.suspects[:MOST_SUSPECTS]
    rows = [
        [s.rank, s.prompt_id, s.quality, s.doubted, s.suggested.replace(SEPARATOR, ", "), s.review] for s in suspects
    ]
    if rows:
        title = f"Label suspects: {len(rows)} of {len(facts.suspects)}"
        print_table(title, ["", "row", "quality", "doubted", "should be", "decided"], rows)


def _print_figures(facts: VersionFacts) -> None:
    named = {**facts.metrics, **{f"{facts.headline} over {name}": gain for name, gain in facts.gains.items()}}
    rows = [[name, found.value, found.low, found.high] for name, found in named.items()]
    title = f"Metrics on {facts.prompts} holdout prompts, with 95 % intervals"
    print_table(title, ["metric", "value", "low", "high"], rows)
    _print_gates(facts)


def _print_gates(facts: VersionFacts) -> None:
    """Those of the version alone with their reasons; of those against the champion `at least` is the lower bound."""
    print_gates("Gates of its night", facts.gates_against(champion=False))
    rows = [
        [one.gate.removeprefix("champion_"), one.reason.partition(",")[0], one.value, one.told_limit, one.told_verdict]
        for one in facts.gates_against(champion=True)
    ]
    print_table("Gates against the champion of that night", ["of", "found", "at least", "limit", "verdict"], rows)


def _print_params(facts: VersionFacts) -> None:
    from pipeline.reports.settings import sections

    rows = [
        [name, ", ".join(f"{key} {value}".strip() for key, value in settings.items()) or "none"]
        for name, settings in sections(facts.provenance.params)
    ]
    print_table("Params", ["section", "settings"], rows)


def _print_rows(rows: pd.DataFrame, which: RowFilter) -> None:
    asked = ", ".join(f"{name} {value}" for name, value in asdict(which).items() if value)
    columns = ["prompt_id", "text_sha256", "split", "fate", "agents", "reason"]
    cells = [
        [short(row[name]).replace("|", ", ") for name in columns[:-1]] + [row["reason"] or _origin(row["parents"])]
        for row in rows.to_dict("records")
    ]
    print_table(f"{len(rows)} rows{f' of {asked}' if asked else ''}", ["row", "text", *columns[2:]], cells)


def _origin(parents: str) -> str:
    return f"from {parents.replace('|', ', ')}" if parents else ""
