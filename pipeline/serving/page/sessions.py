"""What the server remembers of each open page, for the latest thousand of them.

Gradio's own state would keep a connection open for every page; this needs none.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")
_MOST = 1000


class Sessions(Generic[T]):
    """One value a page, the oldest forgotten first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: str) -> T | None:
        """The page's value, or None where there is none any more."""
        with self._lock:
            return self._values.get(session)

    def put(self, session: str, value: T) -> None:
        """Remember a value."""
        with self._lock:
            self._values[session] = value
            self._values.move_to_end(session)
            while len(self._values) > _MOST:
                self._values.popitem(last=False)

    def take(self, session: str) -> T | None:
        """The page's value, which is forgotten."""
        with self._lock:
            return self._values.pop(session, None)
