"""Who may ask what: API keys, named by an environment variable or a file, never written in params.yaml.

One key a line: `name secret route,review,promote`. Blank lines and lines that start with # are skipped. Secrets
are kept as digests, and every one of them is compared each time, so that the time taken says nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import ParamsError

ROUTE, REVIEW, PROMOTE = "route", "review", "promote"
RIGHTS = frozenset({ROUTE, REVIEW, PROMOTE})
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class KeyHolder:
    """Whoever asks: a name for the logs, and what they may do (`may` is a subset of RIGHTS)."""

    name: str
    may: frozenset[str]


ANONYMOUS = KeyHolder("anonymous", RIGHTS)
"""Everybody on this machine, where no keys are configured."""


class ApiKeys:
    """Every configured key. Without any, whoever reaches the service is ANONYMOUS and may do everything."""

    def __init__(self, holders: dict[bytes, KeyHolder]) -> None:
        self._holders = holders

    @property
    def required(self) -> bool:
        return bool(self._holders)

    @classmethod
    def read(cls, where: str, root: Path = Path()) -> ApiKeys:
        """Read keys from `env:NAME` or `file:PATH` (relative to `root`); "" means that there are none.

        Raises:
            ParamsError: another form, nothing there, no key in it, or a line that cannot be used.
        """
        if not where:
            return cls({})
        kind, _, name = where.partition(":")
        if kind == "env" and name:
            text = os.environ.get(name, "")
        elif kind == "file" and name:
            text = _text(root / name)
        else:
            raise ParamsError(f"keys '{where}' cannot be used; write env:NAME or file:PATH")
        holders = _parsed(text, where)
        if not holders:
            raise ParamsError(f"keys: {where} holds no key; write lines of `name secret route,review,promote`")
        return cls(holders)

    def holder(self, secret: str | None) -> KeyHolder | None:
        """Whose secret this is, or None. The comparison takes as long for a wrong secret as for a right one."""
        if not self.required:
            return ANONYMOUS
        given = _digest(secret or "")
        found = None
        # No early exit: the time taken must not say where in the list a key stands.
        for known, person in self._holders.items():
            if hmac.compare_digest(known, given):
                found = person
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ParamsError(f"keys: {path} cannot be read ({type(error).__name__}); check its path and mode") from error


def _parsed(text: str, where: str) -> dict[bytes, KeyHolder]:
    """Every key's holder, by the digest of its secret."""
    holders: dict[bytes, KeyHolder] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        digest, person = _entry(words, f"keys: {where}, line {number}")
        if digest in holders or person.name in {known.name for known in holders.values()}:
            raise ParamsError(f"keys: {where}, line {number}: a name or secret occurs twice; give each its own")
        holders[digest] = person
    return holders


def _entry(words: list[str], place: str) -> tuple[bytes, KeyHolder]:
    if len(words) != 3:
        raise ParamsError(f"{place}: expected `name secret rights`, found {len(words)} words")
    name, secret, rights = words
    may = frozenset(rights.split(","))
    if not may <= RIGHTS:
        raise ParamsError(f"{place}: unknown right '{min(may - RIGHTS)}'; known are {', '.join(sorted(RIGHTS))}")
    if len(secret) < SHORTEST_SECRET:
        raise ParamsError(
            f"{place}: the secret of {name} is shorter than {SHORTEST_SECRET} characters; make one with "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return _digest(secret), KeyHolder(name, may)


def _digest(secret: str) -> bytes:
    """A secret's sha256. Unsalted, since digests never leave memory: they are only of one length, for comparing."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
