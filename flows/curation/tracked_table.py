"""A table that DVC keeps, changed together with its pointer, as `dvc add` leaves both; nothing is sent to a remote.

Two files cannot be renamed at once. What is left to do stands in `var/tracked_table.json` before the first is: the next
change ends one that was cut short after the table, and forgets one that was cut short before it.
"""

from __future__ import annotations

from pathlib import Path

from flows.workspace.dvc_objects import cache_of
from flows.workspace.dvc_pointers import md5_of, read_pointers
from flows.workspace.project import Project
from flows.workspace.snapshot import pointer_of
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_json, write_json, write_text, write_whole

FILE = "tracked_table.json"


def replace_table(project: Project, table: Path, content: bytes) -> Path | None:
    """Give a table other bytes; where DVC keeps it, its cache and its pointer too. Call under the night's lock.

    Returns:
        The pointer, None where DVC does not keep the table.

    Raises:
        InputError: the pointer cannot be read, or names the table not.
        SwitchtenderError: a place cannot be written; the table is as it was, or another try goes on.
    """
    pointer, note = project.root / pointer_of(table), project.var / FILE
    if not pointer.is_file():
        _write(project.root / table, content)
        return None
    out = next((one for one in read_pointers(project.root, pointer) if one.out == table), None)
    if out is None:
        raise InputError(f"{pointer_of(table)} names no {table}; restore it with git checkout")
    text = out.text_for(pointer.read_text(encoding="utf-8"), content)
    # The object first: cut short, it leaves spare bytes in the cache, never a pointer to none.
    cache_of(project).add(md5_of(content), content)
    write_json({"table": table.as_posix(), "md5": md5_of(content), "pointer": text}, note)
    _write(project.root / table, content)
    settle(project)
    return pointer_of(table)


def settle(project: Project) -> Path | None:
    """End a change that was cut short after its table was written; returns that table. Call under the night's lock.

    Raises:
        VerificationFailed: what was written down of it cannot be read.
        SwitchtenderError: the pointer cannot be written; another try goes on.
    """
    note = project.var / FILE
    if not note.is_file():
        return None
    facts = read_json(note)
    table = Path(facts["table"])
    place = project.root / table
    ended = place.is_file() and md5_of(place.read_bytes()) == facts["md5"]
    if ended:
        write_text(facts["pointer"], project.root / pointer_of(table))
    note.unlink()
    return table if ended else None


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda to: to.write_bytes(content))
