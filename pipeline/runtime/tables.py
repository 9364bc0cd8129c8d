"""Reading and writing tables: CSV, Parquet and JSON Lines, by file ending.

Text is never guessed into numbers, an empty field stays empty, and each row remembers the line on which
it began, so that a message can name it.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.runtime.csv_rows import csv_records
from pipeline.runtime.errors import SwitchtenderError, TableError, VerificationFailed, listed, one_line
from pipeline.runtime.regular_files import require_regular
from pipeline.runtime.text import BOM, folded, parse_json, read_text, valid_text

if TYPE_CHECKING:
    import pandas as pd

LINE = "line"


def read_table(path: Path, required: Iterable[str] = (), optional: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table, adding the column `line`: where each row began (for Parquet, its ordinal from 1).

    CSV fields come as text; Parquet and JSON Lines keep their types.

    Raises:
        TableError: no such file, a directory, no permission, an unknown ending, not UTF-8, malformed, empty, a required
            column is missing, or an optional one is only there in another writing.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl, ".ndjson": _read_jsonl
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    try:
        with reachable(path):
            if path.is_dir():
                raise TableError(f"{path} is a directory; name a .csv, .parquet or .jsonl file in it")
            if reader is None:
                raise TableError(f"{path}: unknown ending '{path.suffix}'; use .csv, .parquet or .jsonl")
            frame = reader(path)
    except UnicodeDecodeError as error:
        raise TableError(f"{path}, line {_undecodable_line(path)}: not UTF-8; save the file as UTF-8") from error
    missing = [name for name in required if name not in frame.columns]
    if missing:
        found = listed(name for name in frame.columns if name != LINE)
        raise TableError(f"{path} lacks the column '{missing[0]}' (found: {found}); add it")
    for name in optional:
        _refuse_other_writing(name, frame.columns, path)
    if frame.empty:
        raise TableError(f"{path} has no rows; it needs at least one")
    return frame


def _refuse_other_writing(name: str, columns: Collection[str], path: Path) -> None:
    """A column ` Labels` would be passed over in silence."""
    like = [other for other in columns if other != name and folded(other).replace(" ", "") == name]
    if like:
        raise TableError(f"{path} has a column '{like[0]}', which is not read; rename it to '{name}'")


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Turn what the file system raises into one line about the path.

    Raises:
        TableError: no such file, no permission, or another trouble with reading it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise TableError(f"{path} does not exist; check the path") from error
    except PermissionError as error:
        raise TableError(f"{path} may not be read by this user; check its permissions") from error
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror or one_line(error)}); check the path") from error


def _undecodable_line(path: Path) -> int:
    """The first line that is not UTF-8; the decoder itself counts from the start of a block, not of the file."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 1


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    (_, header), *records = csv_records(path)
    frame = pd.DataFrame([row for _, row in records], columns=pd.Index(header), dtype=object)
    return frame.assign(**{LINE: [line for line, _ in records]})


def _read_jsonl(path: Path) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            if text.strip(BOM + " \t\r\n"):
                rows.append({**_json_row(text.lstrip(BOM), f"{path}, line {number}"), LINE: number})
    # As objects: guessed into one type, 7 beside an empty cell would become 7.0.
    frame = pd.DataFrame(rows, dtype=object)
    return frame.astype({LINE: "int64"}) if rows else frame


def _json_row(text: str, where: str) -> dict[str, Any]:
    """The object of one line.

    Raises:
        TableError: it is none, has a key twice, or a text that UTF-8 cannot hold.
    """
    try:
        row = json.loads(text, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else one_line(error)
        raise TableError(f"{where}: not JSON ({reason}); mend that line") from error
    if not isinstance(row, dict):
        raise TableError(f"{where}: not a JSON object; write one object a line")
    if "\\u" in text:
        try:
            valid_text(json.dumps(row, ensure_ascii=False))
        except ValueError as error:
            raise TableError(f"{where}: a text {error}") from error
    return row


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return row


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Opened once before, so that what the file system refuses is not reported as a damaged file below.
    with path.open("rb"):
        pass
    try:
        names = pq.read_schema(path).names
        if twice := [name for name in names if names.count(name) > 1]:
            raise TableError(f"{path} names the column '{twice[0]}' twice; rename one")
        table = pq.read_table(path)
        table.validate(full=True)  # pyarrow looks at texts no sooner than when one is asked for
        frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} is not a Parquet file ({one_line(error)}); export it again") from error
    named = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index(level=named) if named else frame
    return frame.drop(columns=LINE, errors="ignore").assign(**{LINE: range(1, len(frame) + 1)})


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table by file ending, whole or not at all; the folder is made.

    Raises:
        TableError: unknown ending, or the place cannot be written.
    """
    endings: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda to: frame.to_csv(to, index=False, lineterminator="\n", quoting=_quoting(frame)),
        ".parquet": lambda to: frame.to_parquet(to, index=False),
        ".jsonl": lambda to: frame.to_json(to, orient="records", lines=True, force_ascii=False),
    }
    _require_ending(path)
    write_whole(path, endings[path.suffix.lower()])


def _require_ending(path: Path) -> None:
    if path.suffix.lower() not in (".csv", ".parquet", ".jsonl"):
        raise TableError(f"{path}: unknown ending '{path.suffix}'; use .csv, .parquet or .jsonl")


def require_writable(path: Path) -> None:
    """Ask before long work whether `write_table` has a chance.

    Raises:
        TableError: unknown ending, a folder, or a place in what is no folder.
    """
    if path.is_dir():
        raise TableError(f"{path} is a directory; name a file in it")
    _require_ending(path)
    require_folder(path.parent)


def require_folder(path: Path) -> None:
    """Ask before long work whether a folder is there or can be made.

    Raises:
        TableError: a part of its path is a file, or may not be written to.
    """
    there = next(part for part in (path, *path.absolute().parents) if part.exists())
    if not there.is_dir():
        raise TableError(f"{there} is a file, not a folder; choose another place")
    if not os.access(there, os.W_OK):
        raise TableError(f"{there} may not be written to; choose another place")


def _quoting(frame: pd.DataFrame) -> Literal[0, 2]:
    """How to quote a CSV: where a text holds a bare carriage return every text, since csv would not quote that one."""
    import pandas as pd

    texts = (frame[name] for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name]))
    returns = any("\r" in text for column in texts for text in column if isinstance(text, str))
    return csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL


def read_json(path: Path) -> Any:
    """A JSON file that this project wrote.

    Raises:
        VerificationFailed: it is missing, cannot be read or is not JSON.
    """
    try:
        return parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise VerificationFailed(f"{path} cannot be read ({one_line(error)}); restore it") from error


def write_json(value: Any, path: Path) -> None:
    """Write canonical JSON (sorted keys, two spaces, no NaN), whole or not at all."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda to: to.write_text(text, encoding="utf-8"))


def write_text(text: str, path: Path) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_whole(path, lambda to: to.write_text(text, encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a neighbour of `path`, then rename it: readers see the old file or the new, never half.

    Raises:
        TableError: the place is a directory or cannot be written.
        SwitchtenderError: the disk is full.
    """
    # In the same folder, since only within a file system is a rename atomic; the process's id keeps two writers apart.
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        if path.is_dir():
            raise TableError(f"{path} is a directory; name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        _flush(partial, os.O_WRONLY)
        partial.replace(path)
        _flush(path.parent, os.O_RDONLY)
    except OSError as error:
        told = f"{path} cannot be written ({error.strerror or one_line(error)})"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SwitchtenderError(f"{told}; free some space, then run this again") from error
        raise TableError(f"{told}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _flush(path: Path, how: int) -> None:
    """Have a file's bytes, or a folder's names, on the disk before anything rests on them."""
    opened = os.open(path, how)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def sha256_text(text: str) -> str:
    """The sha256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file_once(path: Path) -> str:
    """As `sha256_file`, computed once a process while the file's size and time stay."""
    known = path.resolve().stat()
    return _sha256_once(path.resolve(), known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=64)
def _sha256_once(path: Path, _changed: int, _size: int) -> str:
    return sha256_file(path)
