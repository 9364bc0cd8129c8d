"""The file to which answers are added as they come, so that whoever is interrupted asks again only what is missing."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from pipeline.runtime.errors import HeldByAnotherRun, TableError
from pipeline.runtime.tables import LINE, read_table

Row = Mapping[str, str]


class AnswerFile:
    """A .csv or .jsonl file with these columns, held by one process at a time.

    Law: a row is written by one call and synced before the next prompt is asked, so that a kill loses at most the
    answer under way. What a broken write left is cut off on opening; a last row that only lacks its line end, as some
    editors leave it, gets one.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Raises:
        TableError: another ending, a place that cannot be written, or a file that holds something else.
        HeldByAnotherRun: another process is adding answers.
        """
        self.path, self.columns = path, tuple(columns)
        if path.suffix.lower() not in (".csv", ".jsonl"):
            raise TableError(f"{path}: answers are added row by row; name a .csv or .jsonl file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise TableError(f"{path} cannot be written ({error.strerror}); choose another place") from error
        try:
            self._lock()
            self._cut_off_half_row()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def answered(self, model: str, prompts: Mapping[str, str]) -> dict[str, str]:
        """The qualities of what stands in the file, by prompt_id; `prompts` are the sheet's texts by id.

        Raises:
            TableError: a row is of another model or sheet, or the file was damaged.
        """
        if os.fstat(self._file).st_size <= len(self._head()):
            return {}
        frame = read_table(self.path, required=self.columns)
        for line, prompt_id, prompt, by in zip(
            *(frame[c] for c in (LINE, "prompt_id", "prompt", "model")), strict=True
        ):
            if by != model or prompts.get(prompt_id) != prompt:
                what = f"answered by '{by}'" if by != model else f"prompt '{prompt_id}', which is not so in the sheet"
                raise TableError(f"{self.path}, line {line}: {what}; name another file with --out")
        return dict(zip(frame["prompt_id"], frame["quality"].astype(str), strict=True))

    def add(self, row: Row) -> None:
        """Write one row, whole or not at all.

        Raises:
            TableError: the disk is full, or the like.
        """
        content, size = self._line([row[name] for name in self.columns]), os.fstat(self._file).st_size
        try:
            if os.write(self._file, content) < len(content):
                os.ftruncate(self._file, size)
                raise OSError(0, "no room left")
            os.fsync(self._file)
        except OSError as error:
            raise TableError(
                f"{self.path} cannot be written ({error.strerror}); make room, then run it again"
            ) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HeldByAnotherRun(f"another process is adding answers to {self.path}; wait for it to end") from error

    def _cut_off_half_row(self) -> None:
        """Cut off half a row at the end, end one that is whole, and begin an empty file."""
        content, head = self.path.read_bytes(), self._head()
        start = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")[: len(head)]
        if not head.startswith(start):
            raise TableError(f"{self.path} holds something else than answers to this sheet; name another file")
        whole = _whole(content, self._is_csv)
        if whole < len(content) and self._is_row(content[whole:]):
            os.write(self._file, b"\n")
        elif whole < len(content):
            os.ftruncate(self._file, whole)
        if not whole and self._is_csv:
            os.write(self._file, head)

    def _is_row(self, line: bytes) -> bool:
        """Whether what stands after the last line end is all of a row."""
        try:
            text = line.decode()
            if self._is_csv:
                rows = list(csv.reader(io.StringIO(text), strict=True))
                return [len(row) for row in rows] == [len(self.columns)]
            row = json.loads(text)
            return isinstance(row, dict) and set(self.columns) <= row.keys()
        except (ValueError, csv.Error):
            return False

    @property
    def _is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    def _head(self) -> bytes:
        """How the file begins."""
        text = ",".join(self.columns) + "\n" if self._is_csv else f'{{"{self.columns[0]}":'
        return text.encode()

    def _line(self, values: Sequence[str]) -> bytes:
        if not self._is_csv:
            return (json.dumps(dict(zip(self.columns, values, strict=True)), ensure_ascii=False) + "\n").encode()
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(values)
        return line.getvalue().encode()


def answered_in(path: Path, columns: Sequence[str], model: str, prompts: Mapping[str, str]) -> dict[str, str]:
    """See `AnswerFile.answered`, which raises the same; nothing where there is no file yet, and none is made."""
    if not path.exists():
        return {}
    with AnswerFile(path, columns) as file:
        return file.answered(model, prompts)


def _whole(content: bytes, is_csv: bool) -> int:
    """Where the last whole row ends. In CSV a line end within quotes ends none; each row has them in pairs."""
    end = place = quotes = 0
    for line in content.split(b"\n")[:-1]:
        place, quotes = place + len(line) + 1, quotes + is_csv * line.count(b'"')
        end = end if quotes % 2 else place
    return end
