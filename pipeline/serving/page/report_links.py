"""Reports to open beside the page: each behind an address that nobody can guess, handed to one who may look."""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from pipeline.reports.audit_page import render
from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.page.actions import Actions
from pipeline.serving.page.visitors import Sessions, Visitors

FOLDER = "report"
_KINDS = {".html": "text/html; charset=utf-8", ".log": "text/plain; charset=utf-8"}
_NOT_KEPT = {"Cache-Control": "no-store"}
_GONE = "this address is no longer valid; open it again from the page"


class ReportLinks:
    """Addresses handed out lately, and what each opens: an audit, which is rendered then, or the nights' documents."""

    def __init__(self, visitors: Visitors) -> None:
        self._versions: Sessions[tuple[Actions, str]] = visitors.sessions()
        self._nights: Sessions[Actions] = visitors.sessions()
        self._tickets: Sessions[str] = visitors.sessions()

    def address(self, actions: Actions, version: str) -> str:
        """A new address for a version's report, relative to the page's own."""
        ticket = secrets.token_urlsafe(24)
        self._versions.put(ticket, (actions, version))
        return f"{FOLDER}/{ticket}"

    def of_nights(self, actions: Actions, session: str) -> str:
        """The address under which an open page finds the documents of nights, as RUN_KEY/PATH; the same each time."""
        ticket = self._tickets.get(session) or ""
        if self._nights.get(ticket) is None:
            ticket = secrets.token_urlsafe(24)
            self._tickets.put(session, ticket)
            self._nights.put(ticket, actions)
        return f"{FOLDER}/{ticket}"

    def answer(self, ticket: str, save: bool = False) -> Response:
        """The audit as HTML, to look at or to save; 404 where the address is not known (any more)."""
        found = self._versions.get(ticket)
        if found is None:
            return PlainTextResponse(_GONE, 404)
        actions, version = found
        try:
            page = render(actions.audit(version))
        except SwitchtenderError as error:
            return PlainTextResponse(str(error), 500)
        headers = dict(_NOT_KEPT)
        if save:
            headers["Content-Disposition"] = f'attachment; filename="audit-version-{version}.html"'
        return HTMLResponse(page, headers=headers)

    def answer_night(self, ticket: str, run_key: str, path: str) -> Response:
        """A document of a night; 404 where the address is not known (any more), or there is none."""
        actions = self._nights.get(ticket)
        if actions is None:
            return PlainTextResponse(_GONE, 404)
        try:
            content = actions.night_document(run_key, path)
        except SwitchtenderError as error:
            return PlainTextResponse(error.message, 404)
        kind = _KINDS.get(Path(path).suffix, "application/octet-stream")
        return Response(content, media_type=kind, headers=_NOT_KEPT)
