"""Taking rows out of the curated files: what is left keeps its bytes, and a list says what was taken, by whom, why.

Augmented rows need no care here: they are made anew from what is left.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from pipeline.data.dataset import DATASET
from pipeline.data.holdout import HOLDOUT_FILE
from pipeline.data.label_reviews import REVIEWS_FILE, spreadsheet_safe
from pipeline.runtime.errors import TableError
from pipeline.runtime.text import BOM

FORGOTTEN_FILE = Path("data/forgotten.csv")
ID, PROMPT = "prompt_id", "prompt"


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
class FilesWithoutRows:
    """What taking rows out makes of the curated files: new bytes by path, and the texts taken, by prompt id.

    Law: `files` holds only files that change.
    """

    files: dict[Path, bytes]
    texts: dict[str, tuple[str, ...]]


def files_without_rows(root: Path, ids: Collection[str]) -> FilesWithoutRows:
    """Take rows out of prompts.csv, holdout.txt and label_reviews.csv; nothing is written.

    Raises:
        TableError: a file is missing, not UTF-8, malformed or lacks a column.
    """
    prompts, texts = without_rows(read_utf8(root / DATASET), ids, str(DATASET))
    reviews, _ = without_rows(read_utf8(root / REVIEWS_FILE), ids, str(REVIEWS_FILE))
    new = {DATASET: prompts, REVIEWS_FILE: reviews, HOLDOUT_FILE: without_ids(read_utf8(root / HOLDOUT_FILE), ids)}
    return FilesWithoutRows(
        {path: text.encode() for path, text in new.items() if text != read_utf8(root / path)}, texts
    )


def without_rows(content: str, ids: Collection[str], where: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """A CSV table without the rows of some prompts, every other byte as it was; and the texts of those rows, by id.

    Raises:
        TableError: the table is malformed or has no column `prompt_id`.
    """
    lines = list(io.StringIO(content, newline=""))
    gone: set[int] = set()
    texts: dict[str, tuple[str, ...]] = {}
    for row, first, last in _rows(lines, where):
        if row[ID] in ids:
            gone.update(range(first, last))
            texts[row[ID]] = (*texts.get(row[ID], ()), row.get(PROMPT, ""))
    return "".join(line for number, line in enumerate(lines) if number not in gone), texts


def lines_of(content: str, where: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every row of a CSV table: the prompt's id, and all its cells; none of an empty text. Raises as `without_rows`."""
    rows = _rows(list(io.StringIO(content, newline="")), where) if content else ()
    return [(row[ID], tuple(row.values())) for row, _, _ in rows]


def without_last(content: str, prompt_id: str, where: str) -> str:
    """A CSV table without the last row of a prompt, every other byte as it was.

    Raises:
        TableError: as for `without_rows`.
    """
    lines = list(io.StringIO(content, newline=""))
    spans = [(first, last) for row, first, last in _rows(lines, where) if row[ID] == prompt_id]
    first, last = spans[-1] if spans else (0, 0)
    return "".join(lines[:first] + lines[last:])


def _rows(lines: list[str], where: str) -> Iterator[tuple[dict[str, str], int, int]]:
    """Each row by column name, with the lines it takes, from 0: the first, and the first after it."""
    reader = csv.reader(lines, strict=True)
    start = 0
    try:
        header = [name.removeprefix(BOM) for name in next(reader, [])]
        if ID not in header:
            raise TableError(f"{where} lacks the column '{ID}'; add it")
        start = reader.line_num
        for row in reader:
            if row and len(row) != len(header):
                raise TableError(f"{where}, line {start + 1}: {len(row)} fields where the header has {len(header)}")
            if row:
                yield dict(zip(header, row, strict=True)), start, reader.line_num
            start = reader.line_num
    except csv.Error as error:
        raise TableError(f"{where}, line {start + 1}: {error}; mend the quoting there") from error


def without_ids(content: str, ids: Collection[str]) -> str:
    """A list of ids, one a line, without some of them; comments and every other byte stay."""
    return "".join(line for line in io.StringIO(content, newline="") if line.removeprefix(BOM).strip() not in ids)


def with_forgotten(root: Path, entries: Iterable[ForgottenRow]) -> bytes:
    """data/forgotten.csv with more entries; a text of a row that is listed already is not listed again.

    Raises:
        TableError: the file is there and malformed.
    """
    content = read_utf8(root / FORGOTTEN_FILE) if (root / FORGOTTEN_FILE).is_file() else ""
    content = content or ",".join(COLUMNS) + "\n"
    if not content.endswith("\n"):
        content += "\n"
    listed = {(row[ID], row.get(COLUMNS[1], "")) for row, _, _ in _rows([*io.StringIO(content)], str(FORGOTTEN_FILE))}
    out = io.StringIO(newline="")
    for entry in entries:
        if (entry.prompt_id, entry.text_sha256) not in listed:
            csv.writer(out, lineterminator="\n").writerow(entry.cells)
    return (content + out.getvalue()).encode()


def read_utf8(path: Path) -> str:
    """A curated file's text, byte for byte.

    Raises:
        TableError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}); restore it with git or dvc checkout") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8; save the file as UTF-8") from error


def forgotten_rows(root: Path) -> list[tuple[str, str]]:
    """(prompt id, sha256 of the text) of every row that data/forgotten.csv lists; none where there is no such file.

    Raises:
        TableError: the file is malformed.
    """
    path = root / FORGOTTEN_FILE
    rows = _rows([*io.StringIO(read_utf8(path), newline="")], str(FORGOTTEN_FILE)) if path.is_file() else ()
    return [(row[ID], row.get(COLUMNS[1], "")) for row, _, _ in rows]
