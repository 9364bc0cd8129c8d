"""Taking rows out of the curated files: what is left keeps its bytes, and a list says what was taken, by whom, why.

Augmented rows need no care here: they are made anew from what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from pipeline.data.label_reviews import spreadsheet_safe
from pipeline.data.row_removal import ID, csv_cells, list_without_ids, read_bytes, read_utf8, table_without_rows
from pipeline.runtime.csv_rows import with_rows

FORGOTTEN_FILE = Path("data/forgotten.csv")


@dataclass(frozen=True)
class ForgottenRow:
    """One line of data/forgotten.csv: which text of which row was taken out. The text itself is not kept."""

    prompt_id: str
    text_sha256: str
    forgotten_on: str
    by: str
    reason: str

    @property
    def cells(self) -> tuple[str, ...]:
        """What the file's line holds."""
        return astuple(replace(self, by=spreadsheet_safe(self.by), reason=spreadsheet_safe(self.reason)))


COLUMNS = tuple(ForgottenRow.__dataclass_fields__)


@dataclass(frozen=True)
class CuratedFiles:
    """What people curate by the ids of prompts, relative to the project: tables, and lists of ids.

    `joined` are those of the tables that hold the outcomes of one candidate each, and go with their last row.
    """

    tables: tuple[Path, ...]
    lists: tuple[Path, ...]
    joined: frozenset[Path] = frozenset()


@dataclass(frozen=True)
class FilesWithoutRows:
    """What taking rows out makes of the curated files: new bytes by path (None: the file goes), how many rows or ids go
    from each, and the texts taken, by file and prompt id.

    Law: `files` holds only files that change.
    """

    files: dict[Path, bytes | None]
    gone: dict[Path, int]
    texts_by_file: dict[Path, dict[str, tuple[str, ...]]]

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The texts taken, by prompt id; an id that only graded outcomes named has none."""
        found: dict[str, dict[str, None]] = {}
        for texts in self.texts_by_file.values():
            for name, several in texts.items():
                found.setdefault(name, {}).update(dict.fromkeys(several))
        return {name: tuple(several) for name, several in found.items()}


def files_without_rows(root: Path, ids: Collection[str], curated: CuratedFiles) -> FilesWithoutRows:
    """Take rows out of curated files; nothing is written.

    Raises:
        TableError: a file is missing, not UTF-8, malformed or lacks the column `prompt_id`.
    """
    found = FilesWithoutRows({}, {}, {})
    for take_out, paths in ((table_without_rows, curated.tables), (list_without_ids, curated.lists)):
        for path in paths:
            rows = take_out(read_bytes(root / path), ids, path)
            if rows.gone:
                found.files[path] = None if path in curated.joined and not rows.left else rows.content
                found.gone[path], found.texts_by_file[path] = rows.gone, rows.texts
    return found


def with_forgotten(root: Path, entries: Iterable[ForgottenRow]) -> bytes:
    """data/forgotten.csv with more entries; a text of a row that is listed already is not listed again.

    Raises:
        TableError: the file is there and malformed.
    """
    content = read_utf8(root / FORGOTTEN_FILE) if (root / FORGOTTEN_FILE).is_file() else ""
    listed = (
        {(row[ID], row.get(COLUMNS[1], "")) for row in csv_cells(content, str(FORGOTTEN_FILE))} if content else set()
    )
    added = [entry for entry in entries if (entry.prompt_id, entry.text_sha256) not in listed]
    return with_rows(content, [dict(zip(COLUMNS, entry.cells, strict=True)) for entry in added], COLUMNS).encode()


def forgotten_rows(root: Path) -> list[tuple[str, str]]:
    """(prompt id, sha256 of the text) of every row that data/forgotten.csv lists; none where there is no such file.

    Raises:
        TableError: the file is malformed.
    """
    path = root / FORGOTTEN_FILE
    rows = csv_cells(read_utf8(path), str(FORGOTTEN_FILE)) if path.is_file() else []
    return [(row[ID], row.get(COLUMNS[1], "")) for row in rows]
