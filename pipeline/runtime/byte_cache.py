"""What is remembered in memory, counted in bytes: a number of entries says nothing where one may be a whole book."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

import numpy as np

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_ENTRY = 200
"""Bytes of an entry besides key and value: its places in two tables, and its own size."""
_ARRAY = 128
"""Bytes of an array besides its numbers."""


class ByteCache(Generic[K, V]):
    """The latest values by key; what was asked for longest ago goes first. Safe to use from several threads.

    Law: keys and values take at most `most` bytes by `bytes_of`; with `keeps_newest`, the newest value stays although
    it alone is larger.
    """

    def __init__(self, most: int, keeps_newest: bool = False) -> None:
        self.most = most
        self.keeps_newest = keeps_newest
        self.bytes = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value of a key, which counts as used now; None where it is not there (any more)."""
        with self._lock:
            if (found := self._values.get(key)) is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int | None = None) -> None:
        """Remember a value. `size` are its bytes where it shares most of them with others; else they are counted."""
        size = _ENTRY + bytes_of(key) + (bytes_of(value) if size is None else size)
        with self._lock:
            self._forget(key)
            self._values[key] = value, size
            self.bytes += size
            while self.bytes > self.most and len(self._values) > self.keeps_newest:
                self._forget(next(iter(self._values)))

    def take(self, key: K) -> V | None:
        """The value of a key, which is forgotten."""
        with self._lock:
            return self._forget(key)

    def _forget(self, key: K) -> V | None:
        value, size = self._values.pop(key, (None, 0))
        self.bytes -= size
        return value


def bytes_of(value: object) -> int:
    """How many bytes a value takes: texts, numbers, arrays, and containers and dataclasses of these; each once.

    Of any other object only its own few bytes count, not what it leads to.
    """
    size, seen, waiting = 0, set[int](), [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            size += _ARRAY + one.nbytes
            continue
        size += sys.getsizeof(one)
        waiting += _parts(one)
    return size


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [vars(value), *(getattr(value, one.name) for one in fields(value))] if hasattr(value, "__dict__") else []
    return []
