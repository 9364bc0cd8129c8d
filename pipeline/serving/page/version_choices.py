"""The drop-down lists of versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.runtime.errors import NIGHT_COMMAND, nothing_registered
from pipeline.serving.page.actions import VersionRow
from pipeline.serving.page.visitors import Sessions, Visitors


def dropdown(label: str, elem_id: str) -> Any:
    """A list of versions, empty until it is filled."""
    import gradio as gr

    return gr.Dropdown([], label=label, elem_id=elem_id, min_width=200, interactive=True)


def filled(rows: Sequence[VersionRow], chosen: str) -> Any:
    """The list with every version, newest first."""
    import gradio as gr

    value = chosen if chosen in [row.version for row in rows] else None
    return gr.update(choices=[(_named(row), row.version) for row in rows], value=value)


def in_service(rows: Sequence[VersionRow]) -> str:
    """The champion, else the newest; empty where nothing is registered."""
    return next((row.version for row in rows if "champion" in row.roles), rows[0].version if rows else "")


def newest_other(rows: Sequence[VersionRow]) -> str:
    """The newest version that does not serve; empty where there is none."""
    return next((row.version for row in rows if "champion" not in row.roles), "")


class VersionChoices:
    """What each open page's lists stand on. Law: a promotion, by whomever, sets them all anew, together."""

    def __init__(self, visitors: Visitors, night: str = NIGHT_COMMAND) -> None:
        self._night = night
        self._champions: Sessions[str] = visitors.sessions()

    def of(
        self, session: str, rows: Sequence[VersionRow], present: Sequence[str | None], wanted: Sequence[str]
    ) -> tuple[str, ...]:
        """What the lists are to stand on: `present` while the same version serves, else `wanted`."""
        champion, numbers = in_service(rows), {row.version for row in rows}
        stays = self._champions.get(session) == champion
        self._champions.put(session, champion)
        pairs = zip(present, wanted, strict=True)
        return tuple(one if stays and one in numbers else other for one, other in pairs)

    def one(self, session: str, rows: Sequence[VersionRow], present: str | None) -> str:
        """The same of a single list, which stands on the version in service at first.

        Raises:
            InputError: nothing is registered.
        """
        (chosen,) = self.of(session, rows, [present], [in_service(rows)])
        if not chosen:
            raise nothing_registered(night=self._night)
        return chosen


def _named(row: VersionRow) -> str:
    return f"{row.version} ({', '.join(row.roles)})" if row.roles else row.version
