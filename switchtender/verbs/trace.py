"""`trace`: which versions a row taught, which rows taught an agent, which rows are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import InputError, SwitchtenderError, listed
from pipeline.runtime.text import clock
from switchtender.options import Json, TrackOption
from switchtender.show import print_json, print_table, say, say_aside

if TYPE_CHECKING:
    from flows.audit.trace import RowInVersion, Tracing
    from flows.records.serving_log import ServingPeriod
    from flows.workspace.project import Project
    from pipeline.runtime.plain import JsonObject

_ONE = "name one of: a row's id, --text, --agent, --removed-since"

app = typer.Typer()


@app.command(epilog="Example: switchtender trace p0042")
def trace(
    row: Annotated[str, typer.Argument(help="A prompt's id.")] = "",
    text: Annotated[str, typer.Option("--text", help="A prompt's text instead of its id.")] = "",
    agent: Annotated[str, typer.Option("--agent", help="Every row that taught this agent.")] = "",
    removed_since: Annotated[
        str, typer.Option("--removed-since", help="Rows that this version knew and the latest does not.")
    ] = "",
    reindex: Annotated[
        bool, typer.Option("--reindex", help="Build the index again from the versions' own lineage.")
    ] = False,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Which versions a row taught, directly or through augmented rows, and which of those ever served."""
    from flows.workspace.project import find_project

    asked = sum(bool(value) for value in (row, text, agent, removed_since))
    if asked > 1:
        raise InputError(f"several questions at once; {_ONE}")
    if not asked and not reindex:
        raise InputError(f"nothing to trace; {_ONE}")
    project = find_project(track=track)
    if reindex:
        _reindex(project, as_json and not asked, quiet=as_json and bool(asked))
    if asked:
        _answer(project, row, text, agent, removed_since, as_json)


def _answer(project: Project, row: str, text: str, agent: str, removed_since: str, as_json: bool) -> None:
    """The answer to the one question of the four that is asked.

    Raises:
        InputError: no version has ever known the row or agent.
    """
    from flows.audit.trace import tracing

    with tracing(project) as found:
        if agent:
            _print_agent(project, found, agent, as_json)
        elif removed_since:
            _print_removed(found, removed_since, as_json)
        else:
            _print_row(found, row, text, as_json)
        if found.read_directly and not as_json:
            _advise(found.read_directly)


def _advise(count: int) -> None:
    say_aside(
        f"switchtender: versions that had to be read without the index: {count}; "
        "'switchtender trace --reindex' makes this quick"
    )


def _reindex(project: Project, as_json: bool, quiet: bool) -> None:
    from flows.audit.trace_index import rebuild_index

    built = rebuild_index(project)
    if as_json:
        print_json({"versions": built.versions, "carried": list(built.carried)})
    elif not quiet:
        say(f"Versions in the index: {built.versions}; of these pruned, from the old index: {len(built.carried)}.")


def _print_row(found: Tracing, row: str, text: str, as_json: bool) -> None:
    from pipeline.runtime.tables import sha256_text

    rows = found.row(row, text)
    unknown = found.unknown()
    if not rows:
        found.require_known()
        raise _none(row, unknown)
    holding = [entry for entry in rows if entry.version in found.in_service and entry.held]
    if as_json:
        print_json(
            {
                "row": row or None,
                "text_sha256": sha256_text(text) if text else None,
                "versions": [_facts(entry) for entry in rows],
                "serving_holds_it": bool(holding),
                "serving": found.serving or None,
                "unknown_versions": unknown,
            }
        )
        return
    columns = ["version", "split", "fate", "label then", "taught", "served"]
    print_table(f"Versions that knew {row or 'that text'}", columns, [_line(group) for group in _grouped(rows)])
    if unknown:
        say(f"Nothing is known any more of the rows of: {', '.join(unknown)}.")
    say(_verdict(holding))


def _none(row: str, unknown: Sequence[str]) -> SwitchtenderError:
    what = f"row {row}" if row else "a row of exactly that text"
    if unknown:
        return SwitchtenderError(
            f"no version that can be looked into has known {what}, but nothing is known any more of the rows of "
            f"{listed(unknown)}; see var/records/removals.jsonl"
        )
    return InputError(f"no version has ever known {what}; ids are those of data/prompts.csv")


def _verdict(holding: Sequence[RowInVersion]) -> str:
    if not holding:
        return "No version in service holds it."
    version = max((entry.version for entry in holding), key=int)
    entries = [entry for entry in holding if entry.version == version]
    if not any(entry.taught for entry in entries):
        return f"Version {version}, in service, was judged on it and did not learn from it."
    through = sorted({entry.through for entry in entries if entry.through})
    directly = any(entry.taught and not entry.through for entry in entries)
    ways = (["directly"] if directly else []) + ([f"through {', '.join(through)}"] if through else [])
    return f"Version {version}, in service, learnt from it {' and '.join(ways)}."


def _grouped(rows: Sequence[RowInVersion]) -> list[list[RowInVersion]]:
    """Runs of versions without a gap that never served and say the same of the row: one line each."""
    groups: list[list[RowInVersion]] = []
    for row in sorted(rows, key=lambda row: (row.through, int(row.version))):
        last = groups[-1][-1] if groups else None
        if last is not None and _said(last) == _said(row) and int(row.version) == int(last.version) + 1:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _said(row: RowInVersion) -> tuple[object, ...]:
    return row.through, row.text_sha256, row.split, row.fate, row.agents, row.taught, row.served


def _line(group: Sequence[RowInVersion]) -> list[object]:
    first, last = group[0], group[-1]
    number = first.version if first is last else f"{first.version} to {last.version}"
    return [number, first.split or "-", first.fate, "\n".join(first.agents), _way(first), _spells(first.served)]


def _way(row: RowInVersion) -> str:
    if row.taught:
        return f"through {row.through}" if row.through else "directly"
    return f"no, as {row.through}" if row.through else "no"


def _spells(spells: Sequence[ServingPeriod]) -> str:
    lines = [f"{clock(spell.since)}\nto {clock(spell.until) if spell.until else 'now'}" for spell in spells]
    return "\n".join(lines) or "never"


def _print_agent(project: Project, found: Tracing, agent: str, as_json: bool) -> None:
    version, rows = found.agent(agent)
    if not rows:
        _require_known(project, agent, version)
    if as_json:
        print_json({"agent": agent, "version": version, "rows": [_facts(row) for row in rows]})
        return
    _print_rows(f"Rows that taught {agent} in version {version}", rows)
    say(f"Rows that taught {agent} in version {version}: {len(rows)}.")


def _require_known(project: Project, agent: str, version: str) -> None:
    from pipeline.data.agents import AGENTS_FILE, read_agents

    if agent not in {known.name for known in read_agents(project.root / AGENTS_FILE)}:
        raise InputError(f"no agent '{agent}' in version {version} or in {AGENTS_FILE}; see the names there")


def _print_removed(found: Tracing, version: str, as_json: bool) -> None:
    latest, rows = found.removed_since(version)
    if as_json:
        print_json({"removed_since": version, "latest": latest, "rows": [_facts(row) for row in rows]})
        return
    _print_rows(f"Rows that version {version} knew and version {latest} does not", rows)
    say(f"Rows of version {version} that are not in version {latest}: {len(rows)}.")


def _print_rows(title: str, rows: Sequence[RowInVersion]) -> None:
    lines = [[row.prompt_id, row.text_sha256[:12], row.split or "-", row.fate, ", ".join(row.agents)] for row in rows]
    if rows:
        print_table(title, ["row", "text sha256", "split", "fate", "label then"], lines)


def _facts(row: RowInVersion) -> JsonObject:
    spells = [{"server": spell.server, "since": spell.since, "until": spell.until or None} for spell in row.served]
    return {
        "version": row.version,
        "run_key": row.run_key,
        "prompt_id": row.prompt_id,
        "text_sha256": row.text_sha256,
        "through": row.through or None,
        "fate": row.fate,
        "stage": row.stage,
        "reason": row.reason,
        "split": row.split,
        "agents": list(row.agents),
        "taught": row.taught,
        "served": spells,
    }
