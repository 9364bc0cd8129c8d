"""How advice names a command that concerns versions of one track."""

from __future__ import annotations

from typing import Protocol

from pipeline.runtime.track import AGENTS, MODELS, Track


class Numbered(Protocol):
    """A version by its number, and the run that made it."""

    @property
    def version(self) -> str: ...

    @property
    def run_key(self) -> str: ...


def command(asked: str, track: Track) -> str:
    """`switchtender verify 3`, or of the models' track `switchtender verify 3 --track models`.

    `asked` is the verb and what it is asked of. Without the option the agents' version of that number would be meant.
    """
    return f"switchtender {asked}" + ("" if track is AGENTS else f" --track {track.name}")


def see_verify(one: Numbered) -> str:
    """Where to look for what is wrong with a version; its run key may be wrong too."""
    return f"see '{command(f'verify {one.version}', MODELS if one.run_key.startswith(MODELS.flow) else AGENTS)}'"
