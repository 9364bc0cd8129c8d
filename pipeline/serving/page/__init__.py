"""The web page, a tab for each thing that people do or look at, beside the service's own interface."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.routing import Mount

from pipeline.runtime.track import TRACKS
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page.context import Page, TrackView
from pipeline.serving.page.input_check import checked_blocks
from pipeline.serving.page.report_links import FOLDER, ReportLinks
from pipeline.serving.page.visitors import Visitors

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH = "/ui"
_LEAST_BYTES = 1_000_000
_VISITORS = 4
"""So many have to come together to take all of the page's places."""


def mount(app: FastAPI, views: Sequence[TrackView], keys: ApiKeys) -> None:
    """Build the page and mount it at PATH of an application that is not running yet. Takes seconds: Gradio's import.

    The first track is shown at PATH, each other one below it under its name. Where keys are required people log in
    with their name and key, and may do what the key says. The application's lifespan starts and ends what Gradio does
    in the background.
    """
    from pipeline.serving.http.limits import BodyLimit, ConcurrencyLimit
    from pipeline.serving.page.login import Login
    from pipeline.serving.page.security_headers import SecurityHeaders

    pages = _pages(views, keys)
    reports = pages[0].reports
    app.add_api_route(f"{PATH}/{FOLDER}/{{ticket}}", reports.answer, include_in_schema=False)
    nights = f"{PATH}/{FOLDER}/{{ticket}}/{{run_key}}/{{path:path}}"
    app.add_api_route(nights, reports.answer_night, include_in_schema=False)
    _mount_gradio(app, _blocks(pages), keys)
    # A redirect to the path with or without a slash would name whatever host the request did.
    parts: list[Any] = [app, *(route.app for route in app.routes if isinstance(route, Mount))]
    for part in parts:
        part.router.redirect_slashes = False
    # The service's own limits lie behind the page, which therefore brings its own.
    params = views[0].switch.params
    each = max(1, params.concurrent_requests // _VISITORS)
    app.add_middleware(ConcurrencyLimit, path=PATH, requests=params.concurrent_requests, each=each)
    if keys.required:
        app.add_middleware(Login, path=PATH, keys=keys)
    app.add_middleware(BodyLimit, most=params.max_body_bytes)
    app.add_middleware(SecurityHeaders, path=PATH)


def _pages(views: Sequence[TrackView], keys: ApiKeys) -> list[Page]:
    # However little is remembered of prompts, what waits for a yes has to be.
    visitors = Visitors(keys, max(views[0].switch.params.cache_bytes // 8, _LEAST_BYTES))
    reports = ReportLinks(visitors)
    addresses = {view.track.name: view.track.name if number else "./" for number, view in enumerate(views)}
    links = tuple((track, addresses[name]) for name, track in TRACKS.items() if name in addresses)
    return [Page(view, visitors, reports, links) for view in views]


def _blocks(pages: Sequence[Page]) -> Any:
    """One application of as many pages as there are tracks, so that who has logged in is known on each."""
    first, *others = pages
    with checked_blocks(analytics_enabled=False, title="Switchtender") as blocks:
        _fill(first, blocks)
    for page in others:
        with blocks.route(page.track.name.capitalize(), page.track.name, show_in_navbar=False):
            _fill(page, blocks)
    # Gradio keeps the state of each open page, by default of 10,000; `mount_gradio_app` has no argument for it.
    blocks.state_session_capacity = 200
    return blocks


def _fill(page: Page, blocks: Any) -> None:
    """The header and the tabs of one track."""
    import gradio as gr

    from pipeline.serving.page import header
    from pipeline.serving.page.tabs import audit, models, nights, review, route, traffic, versions

    tabs = {"Route": route, "Review": review, "Versions": versions, "Audit": audit, "Models": models, "Nights": nights,
            "Traffic": traffic}  # fmt: skip
    served = header.add(page, blocks)
    with gr.Tabs(elem_id="tabs"):
        for name, tab in tabs.items():
            with gr.Tab(name, id=name.lower(), elem_id=f"panel-{name.lower()}") as opened:
                tab.add(page, opened, served)


def _mount_gradio(app: FastAPI, blocks: Any, keys: ApiKeys) -> None:
    """Gradio with everything off that a service on one machine does not need."""
    import gradio as gr

    from pipeline.serving.page.rendering import head, theme

    # Said of every application of several pages, also where server-side rendering is off as here.
    warnings.filterwarnings("ignore", "SSR mode is not supported", UserWarning)
    gr.mount_gradio_app(
        app, blocks, path=PATH, footer_links=[], run_history=False, show_error=False,
        auth_dependency=(lambda request: request.state.visitor) if keys.required else None,
        max_file_size=1, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False, allowed_paths=[],
        theme=theme(), head=head(),
    )  # fmt: skip
