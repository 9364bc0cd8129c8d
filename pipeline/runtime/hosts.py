"""Which addresses only this machine reaches."""

from __future__ import annotations

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens there."""
    return host in LOOPBACK
