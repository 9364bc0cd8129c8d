"""Vectors of prompts that were read before, in one SQLite file in the user's cache folder.

What is kept says nothing of a prompt but the sha256 of its text; what was used longest ago goes first when the file
grows beyond its bound. No night, no service and no proof reads it. `SWITCHTENDER_CACHE` is its folder, or `off`;
`SWITCHTENDER_CACHE_MB` its bound.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

PLACE, BOUND, OFF = "SWITCHTENDER_CACHE", "SWITCHTENDER_CACHE_MB", "off"
_DEFAULT_MB = 1000
_AT_ONCE = 500
_PATIENCE = 10.0
_TABLE = """create table if not exists readings (encoder text, text_sha256 blob, whole integer, tokens integer,
width integer, vectors blob, used integer, primary key (encoder, text_sha256)) without rowid"""
_OLDEST_BEYOND = """delete from readings where (encoder, text_sha256) in (select encoder, text_sha256 from (
select encoder, text_sha256, sum(length(vectors)) over (order by used desc, encoder, text_sha256) as size from readings)
where size > ?)"""


@dataclass(frozen=True)
class StoredReading:
    """A prompt's vectors float32 [k, width]: of its two ends, or of all of it, and of its windows where `whole`."""

    vectors: FloatMatrix
    tokens: int
    whole: bool


def cache_folder() -> Path | None:
    """Where the cache is; None where the user wants none."""
    named = os.environ.get(PLACE, "").strip()
    if named.lower() == OFF:
        return None
    return Path(named) if named else users_folder()


def users_folder() -> Path:
    """The user's own folder for what can be made again."""
    from platformdirs import user_cache_path

    return user_cache_path("switchtender")


def most_bytes() -> int:
    """How many bytes of vectors are kept.

    Raises:
        InputError: the setting is no number of megabytes.
    """
    named = os.environ.get(BOUND, "").strip() or str(_DEFAULT_MB)
    if not named.isdecimal():
        raise InputError(f"{BOUND} is '{named[:40]}'; give a whole number of megabytes, or set {PLACE}={OFF}")
    return int(named) * 1_000_000


class VectorCache:
    """Readings by encoder and text. Several processes may use it at once.

    Raises everywhere: sqlite3.Error where the file is damaged or busy, OSError where its folder cannot be written.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.path = folder / "vectors.sqlite"
        self.engines = folder / "engines"
        self.most = most

    def get(self, encoder: str, texts: Sequence[str]) -> dict[str, StoredReading]:
        """What is known of these texts; it counts as used now."""
        by_digest, found = {_digest(text): text for text in texts}, {}
        every, now = list(by_digest), int(time.time())
        with self._opened() as store:
            for start in range(0, len(every), _AT_ONCE):
                some = every[start : start + _AT_ONCE]
                which = f"encoder = ? and text_sha256 in ({','.join('?' * len(some))})"
                query = f"select text_sha256, whole, tokens, width, vectors from readings where {which}"  # noqa: S608 (names are constants, values are bound)
                for digest, whole, tokens, width, content in store.execute(query, (encoder, *some)):
                    vectors = np.frombuffer(content, dtype=np.float32).reshape(-1, width)
                    found[by_digest[digest]] = StoredReading(vectors, tokens, bool(whole))
                store.execute(f"update readings set used = ? where {which}", (now, encoder, *some))  # noqa: S608 (names are constants, values are bound)
        return found

    def put(self, encoder: str, readings: Mapping[str, StoredReading]) -> None:
        """Keep readings; the oldest are dropped where there are too many."""
        now = int(time.time())
        rows = [
            (encoder, _digest(text), int(one.whole), one.tokens, one.vectors.shape[1], one.vectors.tobytes(), now)
            for text, one in readings.items()
        ]
        with self._opened() as store:
            store.executemany("insert or replace into readings values (?, ?, ?, ?, ?, ?, ?)", rows)
            if self._bytes(store) > self.most:
                # A tenth more, so that it is some time until this is asked again.
                store.execute(_OLDEST_BEYOND, (self.most * 9 // 10,))

    def erase(self, texts: Iterable[str]) -> int:
        """Forget texts, whatever encoder read them; how many readings went."""
        if not self.path.is_file():
            return 0
        with self._opened() as store:
            # The digests are no beginning of the key, so that each delete would read the whole table.
            known = {digest for (digest,) in store.execute("select distinct text_sha256 from readings")}
            named = known & {_digest(text) for text in texts}
            done = store.executemany("delete from readings where text_sha256 = ?", [(digest,) for digest in named])
            return max(done.rowcount, 0)

    def size(self) -> tuple[int, int]:
        """How many readings there are, and the bytes of their vectors."""
        if not self.path.is_file():
            return 0, 0
        with self._opened() as store:
            return int(store.execute("select count(*) from readings").fetchone()[0]), self._bytes(store)

    @staticmethod
    def _bytes(store: sqlite3.Connection) -> int:
        return int(store.execute("select coalesce(sum(length(vectors)), 0) from readings").fetchone()[0])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The file in a transaction of its own, so that what is cut short leaves it as it was."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as store:
            store.execute("pragma auto_vacuum = full")
            store.execute("pragma secure_delete = on")  # erased bytes are overwritten, not left in the file
            with store:
                store.execute(_TABLE)
                yield store


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8")).digest()
