"""Tab Audit: what a version was made of, what became of every row, and where one row taught."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import NIGHT_COMMAND, InputError, nothing_registered
from pipeline.serving.page.actions import Trace
from pipeline.serving.page.context import Page
from pipeline.serving.page.rendering import draw
from pipeline.serving.page.version_choices import VersionChoices, dropdown, filled
from pipeline.serving.page.visitors import Visitor
from pipeline.versions.audit import Audit
from pipeline.versions.audit_facts import FATES, Cell, RowFilter, chosen_rows, plain_rows
from pipeline.versions.provenance import DATA

MOST_ROWS = 100


def add(page: Page, tab: Any, served: Any) -> None:
    """A version with its rows, and below it the trace of one row."""
    import gradio as gr

    with gr.Row():
        version = dropdown("Version", "audited")
        fate = gr.Dropdown([("none listed", ""), *FATES], value="", label="List the rows that were",
                           elem_id="fate", min_width=180)  # fmt: skip
    told, found = page.place("audited-facts")
    with gr.Accordion("Trace one row", open=True):
        with gr.Row():
            row = gr.Textbox(label="A prompt's id, or its exact text", scale=4, elem_id="traced", max_lines=6)
            trace = gr.Button("Trace", elem_id="trace", scale=0, min_width=140)
        told_way, traced = page.place("way")
    handler = AuditTab(page)
    asked = [version, fate]
    page.on(tab.select, handler.enter, asked, [found, version], told, newest_wins=True)
    page.on(served.change, handler.follow, asked, [found, version], told)
    for choice in asked:
        page.on(choice.input, handler.audit, asked, [found], told, newest_wins=True)
    for trigger in (trace.click, row.submit):
        page.on(trigger, handler.trace, [row], [traced], told_way, newest_wins=True)


class AuditTab:
    """Answers from the recorded facts; changes nothing."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = page.actions
        self.choices = VersionChoices(page.visitors, page.view.night_command)

    def enter(self, visitor: Visitor, present: str | None, fate: str) -> tuple[Any, Any]:
        """The list of versions, and the audit of the chosen one, which is at first the one in service."""
        rows = self.actions.versions()
        chosen = self.choices.one(visitor.session, rows, present)
        return self.audit(visitor, chosen, fate), filled(rows, chosen)

    def follow(self, visitor: Visitor, present: str | None, fate: str) -> tuple[Any, Any]:
        """The same when another version serves; a tab that was not opened yet waits."""
        import gradio as gr

        return self.enter(visitor, present, fate) if present else (gr.skip(), gr.skip())

    def audit(self, _visitor: Visitor, version: str | None, fate: str) -> str:
        """A version's facts, the rows of one fate if asked, and an address for the full report."""
        if not version:
            raise nothing_registered(night=self.page.view.night_command)
        found = self.actions.audit(version)
        rows = listed(found, fate) if fate else []
        return draw(
            "audit",
            audit=found,
            data=found.of(DATA),
            fates=found.facts.seen_fates if found.facts else [],
            fate=fate,
            count=len(rows),
            rows=rows[:MOST_ROWS],
            texts=self.page.texts(version, [str(row["prompt_id"]) for row in rows[:MOST_ROWS]]),
            report=self.page.reports.address(self.actions, found.version),
            of_agents=self.page.of_agents,
        )

    def trace(self, _visitor: Visitor, row: str) -> str:
        """A row in every version."""
        if not (row or "").strip():
            raise InputError("name a row: a prompt's id, or its exact text")
        found = self.actions.trace(row)
        return draw(
            "trace", found=found, verdict=verdict(found, self.page.view.night_command), of_agents=self.page.of_agents
        )


def listed(found: Audit, fate: str) -> list[dict[str, Cell]]:
    """The rows of one fate.

    Raises:
        InputError: nothing is known any more of the version's rows.
    """
    if found.facts is None:
        raise InputError(f"the rows of version {found.version} cannot be read; audit it without listing rows")
    return plain_rows(chosen_rows(found.facts, RowFilter(fate=fate)))


def verdict(found: Trace, night: str = NIGHT_COMMAND) -> str:
    """Whether what serves now learnt from the row."""
    here = [row for row in found.rows if row.version == found.serving]
    taught = [row for row in here if row.taught]
    if not found.serving:
        return f"No version is in service; '{night}' makes one."
    if taught:
        through = sorted({row.through for row in taught})
        how = " and ".join(f"through {row}" if row else "directly" for row in through)
        return f"Version {found.serving}, in service, learnt from it {how}."
    if any(row.split == "holdout" for row in here):
        return f"Version {found.serving}, in service, was judged on it and did not learn from it."
    return f"Version {found.serving}, in service, did not learn from it."
