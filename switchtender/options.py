"""Options that mean the same for every verb."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
TrackOption = Annotated[
    str,
    typer.Option(
        "--track",
        metavar="agents|models",
        help="Whose router: that to a subset of agents (the default), or that to one language model.",
    ),
]
