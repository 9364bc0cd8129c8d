"""Pages under docs/results whose tables a benchmark writes, between two comments; the prose around them stays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_text


def fill(page: Path, name: str, lines: Iterable[str]) -> None:
    """Put lines between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        InputError: the page lacks one of the two comments.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise InputError(f"{page} lacks '{(found and end) or start}'; put the two comments where the tables belong")
    write_text("\n".join([before + start, "", *lines, "", end + after]), page)
