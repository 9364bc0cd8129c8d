"""Which row taught which version, in which state: an SQLite index over the versions' own lineage tables.

A state is all that lineage says of a row in one version, but for its line, which shifts with every row above it.
Versions share states, so a state is kept once however many versions hold it.

Laws: the file is never changed in place, only replaced whole, so a reader takes no lock and leaves no file behind;
the digest of its bytes lies beside it, signed where there is a signer, and a file of another digest is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import SwitchtenderError, VerificationFailed
from pipeline.runtime.tables import sha256_file, write_text, write_whole
from pipeline.runtime.track import MODELS
from pipeline.versions.outcome_cells import best_in, has_cells
from pipeline.versions.signing import Signer

RELEASE = 1
SOUND, MISSING, DAMAGED = "sound", "missing", "damaged"
SEPARATOR = "|"
_SIGNATURE = "signature "
_BATCH = 1000
_SCHEMA = f"""
pragma user_version = {RELEASE};
create table versions (id integer primary key, version text not null unique, run_key text not null,
                       provenance_sha256 text not null, lineage_sha256 text not null);
create table states (id integer primary key, digest blob not null unique, prompt_id text, text_sha256 text, fate text,
                     stage text, reason text, split text, agents text, parents text, method text, taught integer);
create table members (state integer, version integer, primary key (state, version)) without rowid;
create table parents (parent text, state integer, primary key (parent, state)) without rowid;
create table agents (agent text, state integer, primary key (agent, state)) without rowid;
create index states_by_id on states (prompt_id);
create index states_by_text on states (text_sha256);
"""


@dataclass(frozen=True)
class Indexed:
    """One version as the index knows it; the digests are those of its provenance and its lineage table."""

    version: str
    run_key: str
    provenance_sha256: str
    lineage_sha256: str


@dataclass(frozen=True)
class RowState:
    """What lineage says of one row in one version; `agents` and `parents` are `|`-separated."""

    prompt_id: str
    text_sha256: str
    fate: str
    stage: str
    reason: str
    split: str
    agents: str
    parents: str
    method: str
    taught: bool


COLUMNS = tuple(RowState.__dataclass_fields__)
_CHOSEN = "select v.version, v.run_key, " + ", ".join(f"s.{name}" for name in COLUMNS)
_JOINED = "states s join members m on m.state = s.id join versions v on v.id = m.version"


@dataclass(frozen=True)
class Found:
    """A row's state in one version."""

    version: str
    run_key: str
    row: RowState


class TraceIndex:
    """An open index. Answers come in no order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def versions(self) -> dict[str, Indexed]:
        """Every version in the index, by number."""
        rows = self._connection.execute("select version, run_key, provenance_sha256, lineage_sha256 from versions")
        return {row[0]: Indexed(*row) for row in rows}

    def of_id(self, prompt_id: str) -> list[Found]:
        """The row of an id, in each version that knew it."""
        return self._found(f"{_CHOSEN} from {_JOINED} where s.prompt_id = ?", prompt_id)

    def of_text(self, text_sha256: str) -> list[Found]:
        """Rows of a text, in each version that knew it."""
        return self._found(f"{_CHOSEN} from {_JOINED} where s.text_sha256 = ?", text_sha256)

    def of_parent(self, prompt_id: str) -> list[Found]:
        """Augmented rows made from the row of an id, in each version."""
        return self._found(f"{_CHOSEN} from parents p join {_JOINED} where s.id = p.state and p.parent = ?", prompt_id)

    def of_agent(self, agent: str, version: str) -> list[Found]:
        """Rows that taught an agent in one version."""
        where = "s.id = a.state and a.agent = ? and v.version = ? and s.taught"
        return self._found(f"{_CHOSEN} from agents a join {_JOINED} where {where}", agent, version)

    def of_version(self, version: str) -> list[Found]:
        """Every row of one version."""
        return self._found(f"{_CHOSEN} from {_JOINED} where v.version = ?", version)

    def _found(self, query: str, *values: str) -> list[Found]:
        return [
            Found(number, run_key, _as_now(_row([*facts, bool(taught)]), run_key))
            for number, run_key, *facts, taught in self._connection.execute(query, values)
        ]

    def add(self, version: Indexed, rows: Iterable[RowState]) -> None:
        """Take a version in, in one transaction. The same version with the same digests changes nothing; with others,
        its rows are replaced.
        """
        known = self.versions().get(version.version)
        if known == version:
            return
        with self._connection:
            self._connection.execute("begin")
            if known is not None:
                self._drop(version.version)
            columns = "version, run_key, provenance_sha256, lineage_sha256"
            added = self._connection.execute(f"insert into versions ({columns}) values (?, ?, ?, ?)", astuple(version))  # noqa: S608 (names are constants, values are bound)
            self._connection.executemany(
                "insert or ignore into members values (?, ?)", ((self._state(row), added.lastrowid) for row in rows)
            )

    def _drop(self, version: str) -> None:
        (number,) = self._connection.execute("select id from versions where version = ?", (version,)).fetchone()
        self._connection.execute("delete from members where version = ?", (number,))
        self._connection.execute("delete from versions where id = ?", (number,))

    def _state(self, row: RowState) -> int:
        """The number of a state, which is written down where it is new."""
        facts = astuple(row)
        digest = hashlib.sha256(json.dumps(facts).encode()).digest()[:16]
        known = self._connection.execute("select id from states where digest = ?", (digest,)).fetchone()
        if known is not None:
            return int(known[0])
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        added = self._connection.execute(
            f"insert into states (digest, {', '.join(COLUMNS)}) values ({marks})",  # noqa: S608 (names are constants)
            (digest, *facts),
        )
        number = int(added.lastrowid or 0)
        for table, names in (("parents", row.parents), ("agents", row.agents)):
            pairs = {(part, number) for part in names.split(SEPARATOR) if part}
            self._connection.executemany(f"insert into {table} values (?, ?)", sorted(pairs))  # noqa: S608 (names are constants, values are bound)
        return number


def _row(facts: list[Any]) -> RowState:
    return RowState(*facts)


def _as_now(row: RowState, run_key: str) -> RowState:
    """An index that the release before wrote has outcomes as text where a version of the models' track names agents."""
    return replace(row, agents=best_in(row.agents)) if run_key.startswith(f"{MODELS.flow}-") else row


def lineage_rows(path: Path) -> Iterator[RowState]:
    """The rows of a version's lineage, a batch at a time, so that memory does not grow with it.

    Raises:
        SwitchtenderError: the table cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shown = best_in if has_cells(path.parent) else str
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS), use_threads=False):
                for *texts, taught in zip(*(batch.column(name).to_pylist() for name in COLUMNS), strict=True):
                    row = _row([*(value or "" for value in texts), bool(taught)])
                    yield replace(row, agents=shown(row.agents))
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SwitchtenderError(f"{path} cannot be read ({reason}); see 'switchtender verify'") from error


@contextmanager
def in_memory() -> Iterator[TraceIndex]:
    """An empty index that is gone afterwards."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        yield TraceIndex(connection)


@contextmanager
def read_index(path: Path, signer: Signer | None = None) -> Iterator[TraceIndex]:
    """An index for reading; an empty one where `state_of` says that there is none to trust. Writes nothing."""
    if state_of(path, signer) != SOUND:
        with in_memory() as nothing:
            yield nothing
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield TraceIndex(connection)


def state_of(path: Path, signer: Signer | None = None) -> str:
    """SOUND, MISSING, or DAMAGED: its bytes are not those that were written, `signer` did not sign for them, or another
    release wrote them.
    """
    if not path.is_file():
        return MISSING
    try:
        text, _, signature = _digest_file(path).read_text(encoding="utf-8").partition(_SIGNATURE)
        noted = text.split()
        if signer is not None:
            signer.check_text(text, signature.strip())
        return SOUND if f"release-{RELEASE}" in noted and sha256_file(path) in noted else DAMAGED
    except (OSError, ValueError, VerificationFailed):
        return DAMAGED


def sign_index(path: Path, signer: Signer) -> None:
    """Sign for an index that the release before wrote, which signed for none; anything else is left as it is."""
    if state_of(path) == SOUND and _SIGNATURE not in _digest_file(path).read_text(encoding="utf-8"):
        _note_digests(path, [sha256_file(path)], signer)


def _note_digests(path: Path, digests: list[str], signer: Signer | None) -> None:
    text = "\n".join([f"release-{RELEASE}", *digests, ""])
    write_text(f"{text}{_SIGNATURE}{signer.sign_text(text)}\n" if signer else text, _digest_file(path))


def write_index(
    path: Path, fill: Callable[[TraceIndex], None], signer: Signer | None = None, *, anew: bool = False
) -> None:
    """Let `fill` change a copy of the index (an empty one where `anew`, or where there is none), then put the copy in
    its place: readers see the old index or the new. Call under a lock. A damaged index is set aside as `.damaged`.

    Raises:
        SwitchtenderError: it cannot be written, or what `fill` raises; the index stays as it was.
    """
    state = state_of(path, signer)

    def write(partial: Path) -> None:
        if state == SOUND and not anew:
            shutil.copyfile(path, partial)
        _fill(partial, fill)
        if state == DAMAGED:
            path.replace(path.with_suffix(".damaged"))
        # Both digests are named before the files are exchanged, so that neither is distrusted if this is cut short.
        before = [sha256_file(path)] if state == SOUND else []
        _note_digests(path, [sha256_file(partial), *before], signer)

    try:
        write_whole(path, write)
    except sqlite3.Error as error:
        raise SwitchtenderError(f"{path} cannot be written ({error}); check the disk") from error


def _fill(partial: Path, fill: Callable[[TraceIndex], None]) -> None:
    with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
        connection.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -32000;")
        if connection.execute("pragma user_version").fetchone() == (0,):
            connection.executescript(_SCHEMA)
        fill(TraceIndex(connection))
    with partial.open("rb") as file:
        os.fsync(file.fileno())


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
