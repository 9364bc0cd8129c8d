"""Who looks at the page, and what they may do there."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.runtime.errors import InputError
from pipeline.serving.http.api_keys import ApiKeys, KeyHolder


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
    """Logs people in by name and key, and knows them again by name. Without keys everybody is the anonymous person."""

    def __init__(self, keys: ApiKeys) -> None:
        self.keys = keys
        self._known: dict[str, KeyHolder] = {}

    def log_in(self, name: str, secret: str) -> bool:
        """Whether this is that person's key."""
        person = self.keys.holder(secret)
        if person is None or person.name != name:
            return False
        self._known[name] = person
        return True

    def visitor(self, name: str | None, session: str | None) -> Visitor:
        """The person behind a request; an unknown one has no rights."""
        person = self._known.get(name or "") if self.keys.required else self.keys.holder(None)
        return Visitor(person or KeyHolder(name or "nobody", frozenset()), session or "", self.keys.required)
