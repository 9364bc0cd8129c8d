"""`label`: labelled prompts that join the dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from switchtender.options import DryRun, Json, agents_named
from switchtender.show import print_json, print_table, say, say_aside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.curation.new_rows import AddedRows, NewRow

app = typer.Typer(name="label", help="Labelled prompts that join data/prompts.csv.", no_args_is_help=True)
WRITTEN = "written"
"""Where a prompt comes from that a person typed."""
_SHOWN = 12

Annotator = Annotated[str, typer.Option("--annotator", help="Who labelled; by default git's user.")]


@app.callback()
def _label() -> None:
    """Labelled prompts that join data/prompts.csv."""


@app.command(epilog='Example: switchtender label add "Book me a train to Bonn" --agents travel,calendar')
def add(
    prompt: Annotated[str, typer.Argument(help="What a person would ask.")],
    agents: Annotated[str, typer.Option("--agents", help="The agents that it needs: a,b.")],
    annotator: Annotator = "",
    source: Annotated[str, typer.Option("--source", help="Where the prompt comes from.")] = WRITTEN,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add one labelled prompt to the dataset; it joins train. It is checked as the stage `validate` would first.

    Exit codes: 0 added, 2 refused (nothing was written), 5 a night or another change is under way.
    """
    from flows.curation.new_rows import NewRow

    row = NewRow("the prompt", prompt, agents_named(agents))
    _add([row], annotator, source, dry_run, as_json)


@app.command("import", epilog="Example: switchtender label import new_rows.jsonl --source helpdesk --dry-run")
def import_(
    table: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON Lines or Parquet: prompt, agents.")],
    annotator: Annotator = "",
    source: Annotated[str, typer.Option("--source", help="Where they come from; by default the file's name.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add a table of labelled prompts to the dataset, all or none; they join train. Checked as by `label add`.

    The columns prompt_id, annotator and source are read too, where they are there and filled; agents are a|b or a list.

    Exit codes: 0 added, 2 refused (nothing was written), 5 a night or another change is under way.
    """
    from flows.curation.new_rows import read_rows

    rows, passed_over = read_rows(table)
    if passed_over:
        say_aside(f"not read of {table}: {', '.join(passed_over)}")
    _add(rows, annotator, source or table.stem, dry_run, as_json)


def _add(rows: Sequence[NewRow], annotator: str, source: str, dry_run: bool, as_json: bool) -> None:
    from flows.curation.new_rows import add_rows
    from flows.records.promotion_log import who_am_i
    from flows.workspace.project import find_project

    project = find_project()
    by = annotator or who_am_i(project)
    filled = [replace(row, annotator=row.annotator or by, source=row.source or source) for row in rows]
    done = add_rows(project, filled, dry_run=dry_run)
    if done.ended:
        say_aside(
            f"an earlier change of {done.ended} was cut short after its rows were in; DVC's pointer knows them now"
        )
    if as_json:
        print_json(_facts(done, dry_run))
    else:
        _print(done, by if not annotator and any(not row.annotator for row in rows) else "", dry_run)
    done.require_sound()


def _facts(done: AddedRows, dry_run: bool) -> dict[str, object]:
    sound = not (done.refused or done.broken)
    return {
        "added": [
            {"prompt_id": row.prompt_id, "agents": list(row.agents), "annotator": row.annotator, "source": row.source}
            for row in done.rows
        ]
        if sound
        else [],
        "refused": [vars(row) for row in done.refused],
        "broken": list(done.broken),
        "dry_run": dry_run,
    }


def _print(done: AddedRows, by: str, dry_run: bool) -> None:
    """What was added, or the rows that were refused; `by` is the annotator that git named."""
    if len(done.refused) > 1:
        cells = [[row.where, row.prompt_id, row.rule, row.found, row.mend] for row in done.refused]
        print_table("Refused", ["row", "id", "rule", "found", "what to do"], cells)
    if done.refused or done.broken:
        return
    ids = [row.prompt_id for row in done.rows]
    shown = ids if len(ids) <= _SHOWN else [*ids[:2], "...", ids[-1]]
    count = "1 row" if len(ids) == 1 else f"{len(ids)} rows"
    say(f"{'would be added' if dry_run else 'added'}: {count}, {' '.join(shown)}; the next night trains on them")
    if by:
        say(f"annotator: {by}, by default git's user; --annotator names another")
    if done.pointer:
        say(f"tracked: {done.pointer}; next: dvc push {done.pointer}, and commit it")
