"""The pictures of docs/page.md, taken from a running service: `python tests/page_pictures.py http://127.0.0.1:8400/ui/`
(then a folder, and tabs, where not all are wanted).

They show a service without keys on a project that has at least two versions, nights, and decisions in its journal.
Nothing is decided, promoted or written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from browser import chromium
from playwright.sync_api import Page

DOCS = Path(__file__).parent.parent / "docs"
WIDTH, HEIGHT = 1200, 1000
PROMPT = "Translate this contract into German and email it to Ana."


def route(page: Page) -> None:
    page.locator("#prompt textarea").fill(PROMPT)
    page.locator("#route").click()
    page.locator(".bars").wait_for()


def review(page: Page) -> None:
    page.locator(".suspect").wait_for()


def versions(page: Page) -> None:
    page.locator("table.versions").wait_for()
    if page.locator("table.versions tbody tr").count() > 1:
        page.locator("#compare").click()
        page.locator(".difference").wait_for()


def audit(page: Page) -> None:
    page.locator("section.audit").wait_for()


def models(page: Page) -> None:
    page.locator("svg.chart").wait_for()


def nights(page: Page) -> None:
    page.locator("table.nightly").wait_for()


def traffic(page: Page) -> None:
    page.locator("section.traffic .charts").wait_for()
    page.get_by_label("7 days").check()
    page.locator("svg[aria-label='requests, the last 7 days']").wait_for()


TABS = {tab.__name__: tab for tab in (route, review, versions, audit, models, nights, traffic)}


def take(address: str, folder: Path, names: Sequence[str]) -> None:
    """Write page-<tab>.png for each tab that is named."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.locator("#serving").wait_for()
        for name in names:
            page.get_by_role("tab", name=name.capitalize()).click()
            TABS[name](page)
            page.mouse.move(0, 0)
            page.wait_for_timeout(500)
            page.screenshot(path=folder / f"page-{name}.png")


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else DOCS, sys.argv[3:] or list(TABS))
