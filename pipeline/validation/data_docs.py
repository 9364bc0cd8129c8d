"""Great Expectations' HTML made safe to open, with no network.

Its pages ask eight hosts for styles, scripts and pictures, and the list on the first page is drawn by one of
those scripts. Here every outside request is taken out, a small style of our own is put in, and the first page
is written as plain HTML. It shows values that failed as they are: strangers' text, so it is escaped first.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

from pipeline.runtime.tables import write_text

INDEX = "index.html"
_OUTSIDE = re.compile(
    r"""<script[^>]*\bsrc=["']?(?:https?:)?//[^>]*>\s*</script>"""
    r"""|<(?:link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""",
    re.IGNORECASE,
)
_OUTSIDE_PICTURE = re.compile(r"""url\(\s*["']?(?:https?:)?//[^)]*\)""", re.IGNORECASE)
_SCRIPT_OR_FOOTER = re.compile(r"<script>.*?</script>|<footer>.*?</footer>", re.DOTALL)
_POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';
base-uri 'none'; form-action 'none'">"""
_STYLE = """<style>
body { font-family: system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; line-height: 1.45 }
table { border-collapse: collapse; width: 100% }
td, th { border: 1px solid #ccc; padding: .35rem .6rem; text-align: left }
.alert { background: #eef1f4; padding: .5rem .8rem; margin-top: 1rem } .badge { background: #dde3ea; padding: 0 .3rem }
.fa-check-circle::before { content: "\\2713"; color: #187a3c } .fa-times::before { content: "\\2717"; color: #b3261e }
.fa-exclamation-triangle::before { content: "!"; color: #b3261e } .modal, .popover, .cooltip > .top { display: none }
</style>"""


def escape_results(folder: Path) -> None:
    """Escape, for HTML, every text that the stored validation results under `folder` quote from a table."""
    for path in sorted(folder.rglob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        for item in stored["results"]:
            item["result"] = _escaped(item["result"])
        write_text(json.dumps(stored), path)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return html.escape(value) if isinstance(value, str) else value


def make_offline(folder: Path) -> Path:
    """Rewrite every page under `folder` so that it asks no other host for anything and runs nothing.

    Returns the first page.
    """
    shutil.rmtree(folder / "static", ignore_errors=True)
    for page in sorted(folder.rglob("*.html")):
        text = _OUTSIDE_PICTURE.sub("none", _OUTSIDE.sub("", page.read_text(encoding="utf-8")))
        text = _SCRIPT_OR_FOOTER.sub("", text)
        write_text(text.replace("</head>", f"{_STYLE}\n</head>", 1).replace("<head>", f"<head>{_POLICY}", 1), page)
    write_text(_first_page(folder), folder / INDEX)
    return folder / INDEX


def _first_page(folder: Path) -> str:
    pages = sorted((folder / "validations").rglob("*.html"))
    rows = [_row(page.relative_to(folder), _failed(page)) for page in pages]
    return "\n".join([
        "<!DOCTYPE html>", f'<html lang="en"><head>{_POLICY}<meta charset="UTF-8"><title>Data Docs</title>',
        f"{_STYLE}</head><body>",
        "<h1>Data Docs</h1>", "<table><tr><th>Table</th><th>Verdict</th><th>Rules</th></tr>", *rows,
        "</table></body></html>", "",
    ])  # fmt: skip


def _row(page: Path, failed: bool) -> str:
    suite = page.parts[1]
    verdict = "failed" if failed else "passed"
    link = html.escape(page.as_posix())
    return (
        f'<tr><td><a href="{link}">{html.escape(suite)}</a></td><td>{verdict}</td>'
        f'<td><a href="expectations/{html.escape(suite)}.html">{html.escape(suite)}</a></td></tr>'
    )


def _failed(page: Path) -> bool:
    """Whether a page says that its table failed; a page that does not say so plainly counts as failed."""
    return not re.search(r"Status:\s*</[^>]+>\s*(?:<i\b[^>]*></i>)?\s*Succeeded", page.read_text(encoding="utf-8"))
