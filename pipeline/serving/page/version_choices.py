"""The drop-down lists of versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.serving.page.actions import VersionRow


def dropdown(label: str, elem_id: str) -> Any:
    """A list of versions, empty until it is filled."""
    import gradio as gr

    return gr.Dropdown([], label=label, elem_id=elem_id, min_width=200, interactive=True)


def filled(rows: Sequence[VersionRow], chosen: str, present: str | None = None) -> Any:
    """The list with every version, newest first; `present` stays chosen where there is such a version."""
    import gradio as gr

    numbers = [row.version for row in rows]
    value = present if present in numbers else chosen
    return gr.update(choices=[(_named(row), row.version) for row in rows], value=value if value in numbers else None)


def in_service(rows: Sequence[VersionRow]) -> str:
    """The champion, else the newest; empty where nothing is registered."""
    return next((row.version for row in rows if "champion" in row.roles), rows[0].version if rows else "")


def newest_other(rows: Sequence[VersionRow]) -> str:
    """The newest version that does not serve; empty where there is none."""
    return next((row.version for row in rows if "champion" not in row.roles), "")


def _named(row: VersionRow) -> str:
    return f"{row.version} ({', '.join(row.roles)})" if row.roles else row.version
