"""Tables of Markdown, for the documents that lie beside a version."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.metrics.bootstrap import Estimate
from pipeline.runtime.text import to_digits


def markdown_table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; what people wrote cannot break its lines or cells."""
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines)


def figures_table(name: str, figures: Iterable[tuple[str, Estimate]]) -> str:
    """Figures with their intervals; `name` says over the first column what they are."""
    rows = [(figure, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}") for figure, one in figures]
    return markdown_table((name, "value", "95 % interval"), rows)


def figure(value: float | str | None) -> str:
    """A gate's value or limit."""
    return "none" if value is None else value if isinstance(value, str) else to_digits(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
