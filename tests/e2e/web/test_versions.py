"""The tabs Versions, Audit and Models, and the other track."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from playwright.sync_api import expect
from sandbox import Sandbox
from second_night import SecondNight
from visited_site import EVIL, Site, shows_as_text

from flows.records.promotion_log import promotions
from flows.workspace.project import Project


def test_the_other_track_is_one_switch_away_and_has_names_and_a_journal_of_its_own(site: Site) -> None:
    page = site.ana.open("Review")
    page.get_by_role("navigation", name="Track").get_by_role("link", name="Models").click()
    night = "switchtender nightly --track models"  # these nights leave the track out
    expect(page.locator("#header")).to_contain_text(night)
    expect(page.locator("#serving")).to_contain_text("no version in service")
    page.get_by_role("tab", name="Review").click()
    expect(page.locator("#hints")).to_contain_text("Nothing yet")
    assert str(site.project.root) not in page.locator("body").inner_text()
    expect(page.locator("#review-keep")).to_have_count(0)
    for tab in ("Versions", "Audit"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").filter(visible=True)).to_contain_text(night)
    page.get_by_role("navigation", name="Track").get_by_role("link", name="Agents").click()
    expect(page.locator("#serving")).to_contain_text("in service")


def test_versions_are_listed_and_compared(site: Site) -> None:
    page = site.ana.open("Versions")
    rows = page.locator("table.versions tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("challenger")
    expect(rows.nth(1)).to_contain_text("champion")
    expect(rows.nth(1)).to_contain_text("passed")
    page.locator("#compare").click()
    expect(page.locator(".difference")).to_contain_text("holdout prompts are routed differently")
    expect(page.locator(".difference h2").last).to_contain_text(" better, ")
    expect(page.locator(".difference")).to_contain_text("read the tide table for Ostend")
    expect(page.locator(".difference")).to_contain_text("p9001")
    expect(page.locator(".difference")).to_contain_text("email")


def test_closed_gates_are_named_and_nothing_can_be_confirmed(site: Site) -> None:
    params = site.project.root / "params.yaml"
    before = params.read_text()
    site.project.set_params(gate__margin=0.0, gate__confidence=0.999)
    page = site.ana.open("Versions")
    expect(page.locator("table.versions tbody tr")).to_have_count(2)
    page.locator("#reason").get_by_role("textbox").fill("to see what is closed")
    page.locator("#promote").click()
    expect(page.locator("#move .notice.bad")).to_contain_text("champion_micro_f1 did not pass")
    expect(page.locator("#move details[open]")).to_contain_text("champion_micro_f1")
    expect(page.locator("#confirm")).to_be_hidden()
    params.write_text(before)
    assert site.champion() == "1"


def test_promotion_after_a_confirmation_and_no_way_back_to_a_forgotten_row(site: Site) -> None:
    page = site.ana.open("Versions")
    expect(page.locator("table.versions tbody tr")).to_have_count(2)
    page.locator("#promote").click()
    expect(page.locator("#move .notice.bad")).to_contain_text("a reason is needed")
    reason = page.locator("#reason").get_by_role("textbox")
    reason.fill(f"trial {EVIL}")
    page.locator("#promote").click()
    expect(page.locator("#move")).to_contain_text("Nothing has changed yet")
    shows_as_text(page, "#move .notice")
    page.locator("#cancel").click()
    expect(page.locator("#move")).to_contain_text("Nothing was changed")
    expect(page.locator("#confirm")).to_be_hidden()
    assert site.champion() == "1"
    page.locator("#promote").click()
    page.locator("#confirm").click()
    expect(page.locator("#move .notice.good")).to_contain_text("Version 2 is in service")
    expect(page.locator("#serving")).to_contain_text("version 2 in service")
    last = promotions(Project(site.project.root))[-1]
    assert (last.version_to, last.reason.startswith(f"trial {EVIL}")) == ("2", True)
    assert "ana" in f"{last.who} {last.reason}"
    page.get_by_role("tab", name="Audit").click()
    shows_as_text(page, "section.audit")
    page.get_by_role("tab", name="Versions").click()
    reason.fill("complaints")
    page.locator("#rollback").click()
    expect(page.locator("#move .notice.bad")).to_contain_text("forgotten since")
    assert "--" not in page.locator("#move").inner_text()
    expect(page.locator("#confirm")).to_be_hidden()
    forget_the_mark(site.project)
    page.locator("#rollback").click()
    expect(page.locator("#move .notice.bad")).to_contain_text("forgotten since")
    assert site.champion() == "2"


def forget_the_mark(project: Sandbox) -> None:
    """As somebody who writes MLflow's store would: the lineage still says what version 1 learnt from."""
    with closing(sqlite3.connect(project.root / "var" / "mlflow.db")) as store:
        store.execute("delete from model_version_tags where key = 'switchtender.forgotten_rows'")
        store.commit()


def test_audit_of_a_version_and_the_trace_of_a_row(site: Site, second_night: SecondNight) -> None:
    page = site.ana.open("Audit")
    facts = page.locator("section.audit")
    expect(facts).to_contain_text("Rows by fate")
    expect(facts).to_contain_text("data/prompts.csv")
    page.locator("#fate input").click()
    page.get_by_role("option", name="relabelled").click()
    page.locator("#audited input").click()
    page.get_by_role("option", name="2").click()
    expect(facts).to_contain_text("rows were relabelled")
    expect(facts).to_contain_text(second_night.reviewed)
    page.locator("#traced").get_by_role("textbox").fill(second_night.reviewed)
    page.locator("#trace").click()
    expect(page.locator("section.trace")).to_contain_text("ana: was")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the full report").click()
    expect(opened.value.locator("h1")).to_contain_text("Version 2")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download it").click()
    content = Path(saved.value.path()).read_text(encoding="utf-8")
    assert "Audit of version 2" in content
    assert page.request.get(f"{site.address}report/guessed").status == 404


def test_models_draws_the_curve(site: Site) -> None:
    page = site.ana.open("Models")
    expect(page.locator("svg.chart .single")).to_have_count(20)
    expect(page.locator("svg.chart .stored")).to_have_count(1)
    assert len((page.locator("svg.chart .curve").get_attribute("points") or "").split()) >= 2
    expect(page.locator(".models")).to_contain_text("hence optimistic")
