"""A project with its page and a browser before it, and what tests of the page look for."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import pandas as pd
from browser import Visit
from playwright.sync_api import Browser, Page, expect
from sandbox import Sandbox
from second_night import read_prompts, write_prompts

from flows.records.promotion_log import promotions
from flows.workspace.project import Project

ANA, BEN = "ana-k8s7d6f5g4h3j2k1", "ben-q1w2e3r4t5y6u7i8"
EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=2</script> {{ 7 * 7 }} ${window.hit=3} translate this'
PATIENCE = 20_000


@dataclass
class Site:
    """The project, the address of its page, and the browser; Ana may do everything, Ben may only route."""

    project: Sandbox
    address: str
    browser: Browser
    ana: Visit
    evil_row: str

    def visit(self, name: str, key: str, width: int = 1200) -> Visit:
        found = Visit(self.browser, self.address, width)
        found.context.set_default_timeout(PATIENCE)
        found.log_in(name, key)
        return found

    def ask(self, prompt: str) -> None:
        """Have a prompt routed by the service, so that its journal has it."""
        headers, address = {"Authorization": f"Bearer {ANA}"}, self.address.replace("/ui/", "/v1/route")
        assert self.ana.context.request.post(address, data={"prompt": prompt}, headers=headers).ok

    def reviews(self) -> list[dict[str, str]]:
        with (self.project.root / "data" / "label_reviews.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def champion(self) -> str:
        return promotions(Project(self.project.root))[-1].version_to


def plant(project: Sandbox) -> str:
    """Let the worst suspect's prompt be markup, in the dataset and in the night's list; returns its row."""
    path = max(project.root.glob("var/runs/*/clone/var/stages/suspects/suspects.parquet"))
    suspects = pd.read_parquet(path)
    row = str(suspects["prompt_id"].iloc[0])
    suspects.loc[suspects["prompt_id"] == row, "prompt"] = EVIL
    suspects.to_parquet(path, index=False)
    rows = [{**one, "prompt": EVIL} if one["prompt_id"] == row else one for one in read_prompts(project)]
    write_prompts(project, rows)
    return row


def shows_as_text(page: Page, where: str) -> None:
    """The markup is there as text, and nothing of it has become part of the page."""
    expect(page.locator(where).first).to_be_visible()
    expect(page.locator(where).first).to_contain_text(EVIL)
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x]").count() == 0
