"""Who looks at the page, and what they may do there."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.runtime.errors import InputError
from pipeline.serving.http.auth import ApiKeys, KeyHolder


@dataclass(frozen=True)
class Visitor:
    """A person in one browser tab; `session` names the tab. Without keys nobody is known by name."""

    person: KeyHolder
    session: str
    known: bool

    @property
    def signature(self) -> str:
        """The name to write down; empty where nobody had to give one."""
        return self.person.name if self.known else ""

    def require(self, right: str) -> None:
        """Stop where the person may not do this.

        Raises:
            InputError: names the right that is missing.
        """
        if right and right not in self.person.may:
            raise InputError(
                f"{self.person.name} may not {right}: the key has no right '{right}'; ask whoever keeps the keys"
            )


class Visitors:
    """Knows people by the name that they logged in with. Without keys everybody is the anonymous person."""

    def __init__(self, keys: ApiKeys) -> None:
        self.keys = keys

    def visitor(self, name: str | None, session: str | None) -> Visitor:
        """The person behind a request; an unknown one has no rights."""
        person = self.keys.named(name or "") if self.keys.required else self.keys.holder(None)
        return Visitor(person or KeyHolder(name or "nobody", frozenset()), session or "", self.keys.required)


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
