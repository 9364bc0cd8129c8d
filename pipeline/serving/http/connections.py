"""Open connections: how many there may be, and how long each may take to ask and to read its answer.

All that is here happens before a request is whole, so that no key is known yet: addresses alone are told apart.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.serving.engine.log import refusals
from pipeline.serving.engine.settings import ServeParams

LOOK_SECONDS = 1.0
_OTHER_FILES = 128
"""Descriptors kept free for models, journals and logs: a server without any left can accept nobody."""


class Connection(H11Protocol):
    """One connection. Law: it has the time of `Connections` for each step, however slowly bytes trickle in or out."""

    def __init__(self, all_of_them: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.all_of_them = all_of_them
        self.address = ""
        self.step: tuple[object, ...] = ()
        self.since = self.loop.time()

    @property
    def waits(self) -> bool:
        """Whether it has no request under way: nothing is lost where it is cut off."""
        return self.conn.their_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = network(self.client[0] if self.client else "")
        self.all_of_them.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.all_of_them.remove(self)
        super().connection_lost(exc)

    def cut(self, reason: str) -> None:
        """Close it at once, and count why."""
        refusals.log("connection", {"cut": reason}, address=self.client[0] if self.client else None)
        # At once: the loop calls `connection_lost` only later, and meanwhile this one must not be chosen again.
        self.all_of_them.remove(self)
        self.transport.abort()


class Connections:
    """Every open connection of a service, the oldest first.

    One too many, of one address or of all, costs the oldest that waits its place, before all others one that never
    asked anything: whoever asks at once always gets in, also beside thousands that never finish.
    """

    def __init__(self, params: ServeParams) -> None:
        self.params = params
        self.most = min(params.connections, _descriptors(params.connections + _OTHER_FILES) - _OTHER_FILES)
        self._of: dict[str, dict[Connection, None]] = {}
        self._all: dict[Connection, None] = {}

    def protocol(self, **given: Any) -> Connection:
        """What uvicorn makes for each connection."""
        return Connection(self, **given)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> None:
        """Take one in."""
        same = self._of.setdefault(connection.address, {})
        same[connection] = self._all[connection] = None
        if len(same) > self.params.connections_per_address:
            _make_room(same, "too many of one address")
        elif len(self._all) > self.most:
            _make_room(self._all, "too many")

    def remove(self, connection: Connection) -> None:
        """Forget one that is closed."""
        self._all.pop(connection, None)
        same = self._of.get(connection.address, {})
        same.pop(connection, None)
        if not same:
            self._of.pop(connection.address, None)

    async def watch(self) -> None:
        """Cut off what is too slow, and write what was counted, every second until it is cancelled."""
        try:
            while True:
                self.look(asyncio.get_running_loop().time())
                refusals.flush()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            refusals.flush(at_once=True)

    def look(self, now: float) -> None:
        """Cut off each connection whose present step takes longer than it may; `now` is the event loop's time."""
        for connection in list(self._all):
            cycle, theirs = connection.cycle, connection.conn.their_state
            answered = cycle is None or cycle.response_complete
            stuck = connection.flow.write_paused or connection.transport.is_closing()
            step = (cycle, theirs, answered, stuck)
            if step != connection.step:
                connection.step, connection.since = step, now
            elif (reason := self._overdue(connection, answered, stuck, now - connection.since)) is not None:
                connection.cut(reason)

    def _overdue(self, connection: Connection, answered: bool, stuck: bool, seconds: float) -> str | None:
        """Why this connection is to be cut off; None where it may go on."""
        of_a_header, of_a_request = self.params.seconds_per_header, self.params.seconds_per_request
        if stuck:
            return "its answer is not read" if seconds > of_a_request else None
        if connection.waits:
            return "no whole header" if seconds > of_a_header else None
        if connection.conn.their_state is h11.SEND_BODY:
            return "no whole body" if seconds > (of_a_header if answered else of_a_request) else None
        return None


def _make_room(connections: Iterable[Connection], reason: str) -> None:
    """Cut off the oldest that waits; where none does, the newest."""
    *older, newest = connections
    idle = (one for one in older if one.waits and one.cycle is not None)
    never_asked = (one for one in older if one.waits and one.cycle is None)
    next(chain(never_asked, idle, [newest])).cut(reason)


def network(address: str) -> str:
    """Whom an address belongs to: IPv4 to itself, IPv6 to its /64, all of which one machine may use."""
    with suppress(ValueError):
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and not found.is_loopback:
            mapped = found.ipv4_mapped
            return str(mapped or ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return address


def _descriptors(wanted: int) -> int:
    """How many files this process may have open, after asking for as many as are wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if unlimited else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
