"""Audit reports to open beside the page: each behind an address that nobody can guess, handed to one who may look."""

from __future__ import annotations

import secrets

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from pipeline.reports.audit_page import render
from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.page.actions import Actions
from pipeline.serving.page.visitors import Sessions, Visitors

FOLDER = "report"


class ReportLinks:
    """Addresses handed out lately, and the version that each shows. A report is rendered when it is opened."""

    def __init__(self, visitors: Visitors) -> None:
        self._versions: Sessions[tuple[Actions, str]] = visitors.sessions()

    def address(self, actions: Actions, version: str) -> str:
        """A new address for a version's report, relative to the page's own."""
        ticket = secrets.token_urlsafe(24)
        self._versions.put(ticket, (actions, version))
        return f"{FOLDER}/{ticket}"

    def answer(self, ticket: str, save: bool = False) -> Response:
        """The report as HTML, to look at or to save; 404 where the address is not known (any more)."""
        found = self._versions.get(ticket)
        if found is None:
            return PlainTextResponse("this address is no longer valid; open the report from the tab Audit", 404)
        actions, version = found
        try:
            page = render(actions.audit(version))
        except SwitchtenderError as error:
            return PlainTextResponse(str(error), 500)
        headers = {"Cache-Control": "no-store"}
        if save:
            headers["Content-Disposition"] = f'attachment; filename="audit-version-{version}.html"'
        return HTMLResponse(page, headers=headers)
