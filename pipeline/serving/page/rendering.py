"""Facts into HTML: every value is escaped by the template engine, and an unknown name is an error."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.reports.audit_page import MEANINGS, banner
from pipeline.reports.night_report import METRICS, duration, figure
from pipeline.runtime.text import clock
from pipeline.serving.page.actions import closed

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"
GOOD, BAD, PLAIN = "good", "bad", "plain"


def draw(template: str, **facts: Any) -> str:
    """One of the templates beside this file, as HTML."""
    return _environment().get_template(f"{template}.html.j2").render(**facts)


def notice(text: str = "", tone: str = PLAIN) -> str:
    """One line that tells how something went, or nothing; no two are alike, so that `review.js` sees each come."""
    return draw("notice", text=text, tone=tone, turn=secrets.token_hex(4))


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
    environment.filters |= {
        "figure": figure,
        "clock": clock,
        "closed": closed,
        "share": share,
        "duration": duration,
        "usd": usd,
    }
    environment.globals |= {"MEANINGS": MEANINGS, "METRICS": METRICS, "banner": banner}
    return environment


def share(value: float) -> str:
    """A share as per cent, with a digit more where it is small."""
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}" if value >= 0.001 else "<0.1%"


def usd(value: float) -> str:
    """An amount of USD to three significant digits."""
    return f"${value:.3g}"


_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="none" stroke="#0b69a3" stroke-width="4" '
    'stroke-linecap="round"><path d="M4 16h8"/><path d="M12 16c8 0 6-9 16-9"/><path d="M12 16c8 0 6 9 16 9" '
    'stroke="#8fb9d6"/></g></svg>'
)


_COLOURS = {
    "body_background_fill": ("#f6f7f9", "#12171d"),
    "body_text_color": ("#1f2933", "#e6ebf0"),
    "body_text_color_subdued": ("#52606d", "#a3b0bd"),
    "background_fill_primary": ("#ffffff", "#1a2129"),
    "background_fill_secondary": ("#f6f7f9", "#12171d"),
    "block_background_fill": ("#ffffff", "#1a2129"),
    "block_border_color": ("#dde2e8", "#313c47"),
    "block_label_background_fill": ("#ffffff", "#1a2129"),
    "block_label_text_color": ("#52606d", "#a3b0bd"),
    "block_title_text_color": ("#52606d", "#a3b0bd"),
    "border_color_primary": ("#dde2e8", "#313c47"),
    "border_color_accent": ("#0b69a3", "#6cb6e8"),
    "color_accent_soft": ("#eaf1f7", "#263340"),
    "input_background_fill": ("#ffffff", "#12171d"),
    "input_border_color": ("#c3ccd5", "#3d4a57"),
    "input_border_color_focus": ("#0b69a3", "#6cb6e8"),
    "input_placeholder_color": ("#667380", "#8e9ba8"),
    "slider_color": ("#0b69a3", "#6cb6e8"),
    "button_primary_background_fill": ("#0b69a3", "#1f6fa5"),
    "button_primary_background_fill_hover": ("#095688", "#2577af"),
    "button_primary_border_color": ("#0b69a3", "#1f6fa5"),
    "button_primary_border_color_hover": ("#095688", "#2577af"),
    "button_primary_text_color": ("#ffffff", "#ffffff"),
    "button_secondary_background_fill": ("#ffffff", "#263340"),
    "button_secondary_background_fill_hover": ("#eaf1f7", "#313c47"),
    "button_secondary_border_color": ("#c3ccd5", "#3d4a57"),
    "button_secondary_border_color_hover": ("#9aa7b4", "#5a6a79"),
    "button_secondary_text_color": ("#1f2933", "#e6ebf0"),
    "checkbox_background_color_selected": ("#0b69a3", "#2a7fb8"),
    "checkbox_border_color_selected": ("#0b69a3", "#2a7fb8"),
    "checkbox_label_background_fill": ("#ffffff", "#1a2129"),
    "checkbox_label_background_fill_selected": ("#eaf1f7", "#263340"),
    "checkbox_label_text_color_selected": ("#1f2933", "#e6ebf0"),
}


def theme() -> Any:
    """Gradio's plain theme in our colours; no font is fetched from anywhere."""
    import gradio as gr

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    plain = gr.themes.Base(font=fonts, font_mono=mono, radius_size="md", text_size="md")
    light = {name: pair[0] for name, pair in _COLOURS.items()}
    dark = {f"{name}_dark": pair[1] for name, pair in _COLOURS.items()}
    edges = {"input_border_width": "1px", "button_border_width": "1px", "button_border_width_dark": "1px"}
    flat = dict.fromkeys(("block_shadow", "block_shadow_dark", "button_primary_shadow"), "none")
    return plain.set(color_accent="var(--accent)", **edges, **flat, **light, **dark)


def head() -> str:
    """What goes into the page's head: style (Gradio would rewrite one given as such), scripts, and an icon."""
    icon = f'<link rel="icon" href="data:image/svg+xml,{quote(_ICON)}">'
    scripts = "".join(
        f"<script>{asset(f'{name}.js')}</script>" for name in ("answers", "address", "keyboard", "review")
    )
    return f"{icon}<style>{asset('page.css')}</style>{scripts}"
