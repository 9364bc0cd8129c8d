"""The tabs Nights and Traffic: what is shown, what opens beside it, and a night that is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest
from made_nights import STAGES, MadeNight, make_night
from playwright.sync_api import Page, expect
from visited_site import EVIL, Site, shows_as_text

from flows.night.prefect_server import advertise, own_server
from flows.workspace.lock import held
from flows.workspace.night_log import FAILED, GATE_CLOSED
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.tables import write_json


@pytest.fixture
def project(site: Site) -> Iterator[Project]:
    """The page's project; nights that a test makes are gone after it."""
    found = Project(site.project.root)
    log, there = found.var / "nights.jsonl", set(found.runs.iterdir())
    before = log.read_bytes()
    yield found
    log.write_bytes(before)
    for folder in set(found.runs.iterdir()) - there:
        shutil.rmtree(folder)


def rows_of(page: Page) -> int:
    expect(page.locator("table.nightly")).to_be_visible()
    return page.locator("table.nightly tbody tr").count()


def test_every_night_is_there_with_what_it_measured(site: Site) -> None:
    page = site.ana.open("Nights")
    assert rows_of(page) >= 2
    real = page.locator("table.nightly tbody tr", has_text="in service").first
    expect(real).to_contain_text("registered version 1")
    expect(real).to_contain_text("suspects")
    expect(real.locator("svg.stages rect")).to_have_count(10)
    expect(page.locator("svg.chart").first.locator("circle, rect")).not_to_have_count(0)


def test_report_data_docs_and_log_open_beside_it_and_only_for_who_is_logged_in(site: Site) -> None:
    page = site.ana.open("Nights")
    row = page.locator("table.nightly tbody tr", has_text="in service").first
    for name, shown in (("report", "Gates"), ("Data Docs", "Data Docs"), ("log", "validate: rows 502")):
        link = row.get_by_role("link", name=name)
        address = f"{site.address}{link.get_attribute('href')}"
        with page.expect_popup() as opened:
            link.click()
        expect(opened.value.locator("body")).to_contain_text(shown)
        if name == "report":
            opened.value.get_by_role("link", name="Data Docs").first.click()
            expect(opened.value.locator("h1")).to_have_text("Data Docs")
        opened.value.close()
        stranger = site.browser.new_context()
        assert stranger.request.get(address).status == 401
        stranger.close()
        assert page.request.get(address.rsplit("/", 1)[0] + "/run.json").status == 404


def test_a_night_under_way_moves_by_itself_and_one_that_failed_says_what_to_do(site: Site, project: Project) -> None:
    page = site.ana.open("Nights")
    before = rows_of(page)
    later = timedelta(days=4000)  # later than any of the real ones
    make_night(project, MadeNight(1, FAILED, EVIL, value=None, done=STAGES[:4], after=later))
    make_night(project, MadeNight(2, GATE_CLOSED, "gate not passed: micro_f1", value=0.3, after=later))
    key = make_night(project, MadeNight(3, "", value=None, done=STAGES[:4], stage="train", after=later))
    for done, percent in ((10, 25), (30, 75)):
        progress = {"stage": "train", "done": done, "total": 40, "where": ""}
        write_json(progress, clone_of(project, key) / "var" / "progress.json")
        with held(project.lock, project.track.flow):
            expect(page.locator("#night-now [role=progressbar]")).to_have_attribute("aria-valuenow", str(percent))
    assert rows_of(page) == before + 3
    expect(page.locator("table.nightly")).to_contain_text("says which gate and why; mend data")
    expect(page.locator("table.nightly")).to_contain_text("mend what the reason names")
    shows_as_text(page, "table.nightly")
    expect(page.locator("#night-now [role=progressbar]")).to_have_count(0)
    expect(page.locator("table.nightly tbody tr").first).to_contain_text("cut short")


def test_older_nights_come_on_request(site: Site, project: Project) -> None:
    for number in range(1, 41):
        make_night(project, MadeNight(number, value=None, has_run=False, after=timedelta(days=-4000)))
    page = site.ana.open("Nights")
    assert rows_of(page) == 30
    page.locator("#older-nights").click()
    expect(page.locator("#older-nights")).to_be_hidden()
    assert rows_of(page) > 40


def test_a_night_starts_only_by_a_schedule_and_after_a_yes(site: Site, project: Project) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    page = site.ana.open("Nights")
    page.locator("#start-night").click()
    expect(page.locator("#night-start .notice.bad")).to_contain_text("run 'switchtender schedule'")
    expect(page.locator("#confirm-night")).to_be_hidden()
    with (
        own_server(project) as address,
        SyncPrefectClient(api=address) as client,
        held(project.var / "schedule.lock", "the schedule"),
    ):
        deployment = client.create_deployment(client.create_flow_from_name("night"), "nightly")
        advertise(project, address)

        def asked() -> list[object]:
            return [run.parameters["request"] for run in client.read_flow_runs() if run.deployment_id == deployment]

        page.locator("#start-night").click()
        expect(page.locator("#night-start .notice.plain")).to_contain_text("Nothing has started yet")
        page.locator("#cancel-night").click()
        expect(page.locator("#night-start .notice")).to_contain_text("Nothing was started")
        page.locator("#start-night").click()
        expect(page.locator("#confirm-night")).to_contain_text("a night of agents")
        assert asked() == []
        page.locator("#confirm-night").click()
        expect(page.locator("#night-start .notice.good")).to_contain_text("asked for")
        assert asked() == [{"tracks": [], "scheduled": None}]


def test_traffic_is_counted_without_a_prompt_and_by_track(site: Site) -> None:
    site.ask("a prompt that nobody else asks")
    page = site.ana.open("Traffic")
    expect(page.locator("table.by-version")).to_contain_text("1")
    counted = int(page.locator("table.by-version tbody td").first.inner_text())
    site.ask("another one")
    page.locator("#traffic-again").click()
    expect(page.locator("table.by-version tbody td").first).to_have_text(str(counted + 1))
    assert "nobody else" not in page.content()
    page.get_by_label("30 days").check()
    expect(page.locator("section.traffic svg").first).to_have_attribute("aria-label", "requests, the last 30 days")
    page.get_by_role("navigation", name="Track").get_by_role("link", name="Models").click()
    page.get_by_role("tab", name="Traffic").click()
    expect(page.locator("section.traffic .empty")).to_contain_text("Nothing was routed in the last 24 hours")
