"""Facts into HTML: every value is escaped by the template engine, and an unknown name is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.reports.audit_page import MEANINGS, banner
from pipeline.reports.night_report import METRICS, figure
from pipeline.serving.page.actions import closed
from pipeline.versions.audit import clock

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"
GOOD, BAD, PLAIN = "good", "bad", "plain"


def draw(template: str, **facts: Any) -> str:
    """One of the templates beside this file, as HTML."""
    return _environment().get_template(f"{template}.html.j2").render(**facts)


def line(text: str, tone: str = PLAIN) -> str:
    """One line that tells how something went."""
    return draw("line", text=text, tone=tone)


def asset(name: str) -> str:
    """The page's style sheet or script."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "clock": clock, "closed": closed, "share": share, "usd": usd}
    environment.globals |= {"MEANINGS": MEANINGS, "METRICS": METRICS, "banner": banner}
    return environment


def share(value: float) -> str:
    """A share as per cent, with a digit more where it is small."""
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}" if value >= 0.001 else "<0.1%"


def usd(value: float) -> str:
    """An amount of USD to three significant digits."""
    return f"${value:.3g}"
