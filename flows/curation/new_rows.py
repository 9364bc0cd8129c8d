"""New rows for data/prompts.csv: read, given ids, held against the rules of `validate`, and written all or none."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from flows.curation.row_check import RefusedRow, RowCheck
from flows.curation.tracked_table import replace_table, settle
from flows.records.promotion_log import who_am_i
from flows.workspace import runs
from flows.workspace.forgetting import refuse_unfinished
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.data.cells import names_in, prompt_in, read_column, text_of
from pipeline.data.dataset import COLUMNS, DATASET
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.holdout import read_holdout
from pipeline.data.names import SEPARATOR
from pipeline.data.row_removal import csv_cells, read_utf8
from pipeline.runtime.csv_rows import with_rows
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import LINE, read_table

OPTIONAL = ("prompt_id", "annotator", "source")
_NUMBERED = re.compile(r"(.*?)(\d+)")


@dataclass(frozen=True)
class NewRow:
    """A row that is to join the dataset; `where` names it in messages. What is empty of the rest is filled in."""

    where: str
    prompt: str
    agents: tuple[str, ...]
    prompt_id: str = ""
    annotator: str = ""
    source: str = ""
    added_on: str = ""


@dataclass(frozen=True)
class AddedRows:
    """The rows as they are written, ids given; those refused, and the rules of the whole table that they would break.

    Law: nothing was written where there is any of `refused` or `broken`. `pointer` is DVC's of
    the table, where DVC keeps it; `ended` names a table whose change had been cut short before, and was ended now.
    """

    rows: tuple[NewRow, ...]
    refused: tuple[RefusedRow, ...]
    broken: tuple[str, ...]
    pointer: Path | None = None
    ended: Path | None = None

    def require_sound(self) -> None:
        """Raises InputError for the first that is refused."""
        tail = "nothing was written"
        if self.refused:
            first = self.refused[0]
            found = f" ({first.found})" if first.found else ""
            refused = len({row.where for row in self.refused})
            many = f"{refused} of {len(self.rows)} rows are refused, the first is " if len(self.rows) > 1 else ""
            raise InputError(f"{many}{first.where}: rule '{first.rule}'{found}; {first.mend}; {tail}")
        if self.broken:
            raise InputError(f"{self.broken[0]}; {tail}")


def read_rows(path: Path, also: Sequence[str] = ()) -> tuple[list[NewRow], list[str]]:
    """The rows of a table with `prompt` and `agents`, and the names of columns that are not read.

    `prompt_id`, `annotator`, `source` and columns `also` wanted are read where they are there.

    Raises:
        TableError: it is malformed, or a cell holds no text or no list of names.
    """
    optional = (*OPTIONAL, *also)
    frame = read_table(path, ("prompt", "agents"), optional)
    columns = {
        "prompt": read_column(frame, "prompt", path, _prompt),
        "agents": read_column(frame, "agents", path, names_in),
        **{name: read_column(frame, name, path, text_of).map(str.strip) for name in optional if name in frame.columns},
    }
    lines = (f"{path}, line {line}" for line in frame[LINE])
    cells = zip(*columns.values(), strict=True)
    rows = [NewRow(where, **dict(zip(columns, row, strict=True))) for where, row in zip(lines, cells, strict=True)]
    return rows, [name for name in frame.columns if name not in (*columns, LINE)]


def _prompt(value: object) -> str:
    """A cell's prompt; an empty one is left to the rules, which name every row that has none."""
    return prompt_in(value) if value is not None and str(value).strip() else ""


def add_rows(project: Project, rows: Sequence[NewRow], *, dry_run: bool = False) -> AddedRows:
    """Add rows to the dataset and to DVC's pointer of it, all or none; they join train. A dry run only checks.

    Raises:
        InputError: a file that the check needs is missing or malformed, or a forgetting was cut short.
        HeldByAnotherRun: a night, a promotion or another change is under way.
        SwitchtenderError: a place cannot be written; nothing changed, or the next try ends it.
    """
    if dry_run:
        return _checked(project, rows)[0]
    with held(project.lock, f"adding rows to {DATASET}, by {who_am_i(project)}"):
        project.claim()
        refuse_unfinished(project)
        ended = settle(project)
        found, text = _checked(project, rows)
        sound = not (found.refused or found.broken)
        pointer = replace_table(project, DATASET, text.encode()) if sound else None
        return replace(found, pointer=pointer, ended=ended)


def _checked(project: Project, rows: Sequence[NewRow]) -> tuple[AddedRows, str]:
    """What becomes of the rows, and the table with them."""
    before = read_utf8(project.root / DATASET)
    ids = _Ids(project, before)
    whole = ids.given(rows)
    text = with_rows(before, (row_cells(row) for row in whole), COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        check = RowCheck(project, Path(folder))
        refused, broken = check.run(before, text, [(row.prompt_id, row.where) for row in whole])
    return AddedRows(tuple(whole), (*ids.reserved(whole), *refused), tuple(broken)), text


def row_cells(row: NewRow) -> dict[str, str]:
    """A row as the dataset's cells hold it, added today where it does not say when."""
    facts = {name: getattr(row, name) for name in ("prompt_id", "prompt", "annotator", "source")}
    return {**facts, "agents": SEPARATOR.join(row.agents), "added_on": row.added_on or runs.now()[:10]}


class _Ids:
    """Ids that are in use: those of the table, of rows that were forgotten, and of the frozen holdouts."""

    def __init__(self, project: Project, table: str) -> None:
        self._table = [row["prompt_id"] for row in csv_cells(table, str(DATASET))] if table else []
        self._forgotten = {name for name, _ in forgotten_rows(project.root)}
        holdouts = {seen.holdout for seen in project.both if (project.root / seen.holdout).is_file()}
        self._held_out = {name for path in holdouts for name in read_holdout(project.root / path)}

    def given(self, rows: Sequence[NewRow]) -> list[NewRow]:
        """The rows, each with an id: where it has none of its own, the next number as the table's last row counts."""
        used = [*self._forgotten, *self._held_out, *(row.prompt_id for row in rows), *self._table]
        numbered = [match for name in used if (match := _NUMBERED.fullmatch(name))]
        prefix, width = (numbered[-1][1], len(numbered[-1][2])) if numbered else ("p", 4)
        last = max((int(match[2]) for match in numbered if match[1] == prefix), default=0)
        fresh = (f"{prefix}{last + step:0{width}d}" for step in count(1))
        return [row if row.prompt_id else replace(row, prompt_id=next(fresh)) for row in rows]

    def reserved(self, rows: Sequence[NewRow]) -> Iterator[RefusedRow]:
        """Rows whose own id is a forgotten row's, or one that a holdout names, which no new row joins by itself."""
        for row in rows:
            if row.prompt_id in self._forgotten:
                mend = "leave the row out, or give another prompt another id"
                yield RefusedRow(row.where, row.prompt_id, "row_not_forgotten", f"the id {row.prompt_id}", mend)
            elif row.prompt_id in self._held_out.difference(self._table):
                mend = "give the row another id, since new rows join train"
                yield RefusedRow(row.where, row.prompt_id, "holdout_is_frozen", f"the id {row.prompt_id}", mend)
