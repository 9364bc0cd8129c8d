"""Who looks at the page, and what they may do there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from pipeline.runtime.byte_cache import ByteCache
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
    """Knows people by the name that they logged in with. Without keys everybody is the anonymous person.

    What the tabs remember of all open pages takes at most `cache_bytes` together.
    """

    def __init__(self, keys: ApiKeys, cache_bytes: int) -> None:
        self.keys = keys
        self._remembered: ByteCache[tuple[int, str], Any] = ByteCache(cache_bytes)
        self._tabs = count()

    def visitor(self, name: str | None, session: str | None) -> Visitor:
        """The person behind a request; an unknown one has no rights."""
        person = self.keys.named(name or "") if self.keys.required else self.keys.holder(None)
        return Visitor(person or KeyHolder(name or "nobody", frozenset()), session or "", self.keys.required)

    def sessions(self) -> Sessions[Any]:
        """A place where a tab remembers something of each open page."""
        return Sessions(self._remembered, next(self._tabs))


T = TypeVar("T")


class Sessions(Generic[T]):
    """One value a page, the oldest forgotten first. Safe to use from several threads."""

    def __init__(self, remembered: ByteCache[tuple[int, str], T], tab: int) -> None:
        self._remembered, self._tab = remembered, tab

    def get(self, session: str) -> T | None:
        """The page's value, or None where there is none any more."""
        return self._remembered.get((self._tab, session))

    def put(self, session: str, value: T) -> None:
        """Remember a value as large as it is now."""
        self._remembered.put((self._tab, session), value)

    def take(self, session: str) -> T | None:
        """The page's value, which is forgotten."""
        return self._remembered.take((self._tab, session))
