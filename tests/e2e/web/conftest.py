"""The web page as a person uses it: the real service on a project of two versions, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Visit, chromium, page_of
from playwright.sync_api import expect
from second_night import SecondNight
from visited_site import ANA, BEN, PATIENCE, Site, plant


@pytest.fixture(scope="package")
def site(second_night: SecondNight, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    project = second_night.kept.copy_to(tmp_path_factory.mktemp("page") / "a project")
    evil_row = plant(project)
    keys = project.root / "var" / "people"
    keys.write_text(f"ana {ANA} route,review,promote,night\nben {BEN} route\n")
    expect.set_options(timeout=PATIENCE)
    with page_of(project, "--keys", f"file:{keys}") as address, chromium() as browser:
        found = Site(project, address, browser, Visit(browser, address), evil_row)
        found.ana.context.set_default_timeout(PATIENCE)
        found.ana.log_in("ana", ANA)
        yield found
        assert found.ana.asked, "requests were noted at all"
        assert found.ana.elsewhere() == []
        assert found.ana.faults == []
