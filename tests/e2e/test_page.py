"""The web page as a person uses it: the real service on a project of two versions, and a browser."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from browser import Visit, chromium, page_of
from playwright.sync_api import Browser, Page, expect
from sandbox import Sandbox
from second_night import SecondNight, read_prompts, write_prompts

from flows.records.promotion_log import PromotionLog
from flows.workspace.project import Project

ANA, BEN = "ana-k8s7d6f5g4h3j2k1", "ben-q1w2e3r4t5y6u7i8"
EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=2</script> {{ 7 * 7 }} ${window.hit=3} translate this'
PATIENCE = 20_000
COLOURS = (
    "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('#serving')).color]"
)
TABS = {"Route": "#prompt", "Review": ".suspect", "Versions": "table.versions", "Audit": "section.audit",
        "Models": "svg.chart"}  # fmt: skip


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

    def reviews(self) -> list[dict[str, str]]:
        with (self.project.root / "data" / "label_reviews.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def champion(self) -> str:
        return PromotionLog(Project(self.project.root)).proved()[-1].version_to


@pytest.fixture(scope="module")
def site(second_night: SecondNight, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    project = second_night.kept.copy_to(tmp_path_factory.mktemp("page") / "a project")
    evil_row = plant(project)
    keys = project.root / "var" / "people"
    keys.write_text(f"ana {ANA} route,review,promote\nben {BEN} route\n")
    expect.set_options(timeout=PATIENCE)
    with page_of(project, "--keys", f"file:{keys}") as address, chromium() as browser:
        found = Site(project, address, browser, Visit(browser, address), evil_row)
        found.ana.context.set_default_timeout(PATIENCE)
        found.ana.log_in("ana", ANA)
        yield found
        assert found.ana.asked, "requests were noted at all"
        assert found.ana.elsewhere() == []
        assert found.ana.faults == []


def plant(project: Sandbox) -> str:
    """Let the worst suspect's prompt be markup, in the dataset and in the night's list; returns its row."""
    path = max(project.root.glob("var/runs/*/clone/var/stages/label_noise/suspects.parquet"))
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


def suspect_of(page: Page) -> str:
    return page.locator(".suspect").get_attribute("data-row") or ""


def gone_on(page: Page, row: str) -> str:
    """Wait until another suspect is shown than this one; returns it."""
    expect(page.locator(f".suspect[data-row={row}]")).to_have_count(0)
    return suspect_of(page)


def test_nobody_gets_in_without_a_key(site: Site) -> None:
    stranger = Visit(site.browser, site.address)
    page = stranger.context.new_page()
    page.goto(site.address)
    page.get_by_label("username").fill("ana")
    page.get_by_label("password").fill(BEN)
    page.get_by_role("button", name="Login").click()
    expect(page.get_by_text("Incorrect")).to_be_visible()
    assert page.locator("#serving").count() == 0
    assert page.request.post(f"{site.address}gradio_api/run/predict", data={"data": []}).status == 401
    stranger.context.close()


def test_route_shows_bars_thresholds_and_the_choice(site: Site) -> None:
    page = site.ana.open()
    page.locator("#prompt textarea").fill("Translate this contract into German and email it to Ana.")
    page.locator("#route").click()
    expect(page.locator(".bars li")).to_have_count(20)
    expect(page.locator(".bars .threshold")).to_have_count(20)
    marked = page.locator(".bars li.chosen").count()
    assert marked == page.locator(".chosen-line .chip").count() >= 1
    expect(page.locator(".facts-line")).to_contain_text(" ms")
    expect(page.locator(".facts-line")).to_contain_text("version 1")
    expect(page.locator(".near li").first).to_contain_text("cosine")
    expect(page.locator(".near .prompt").first).to_be_visible()


def test_another_policy_moves_the_choice(site: Site) -> None:
    page = site.ana.open()
    page.locator("#prompt textarea").fill("Summarise the report.")
    page.locator("#route").click()
    expect(page.locator(".bars li")).to_have_count(20)
    page.get_by_label("the best one").check()
    expect(page.locator(".bars li.chosen")).to_have_count(1)
    expect(page.locator(".bars .threshold")).to_have_count(0)
    page.get_by_label("one threshold for all").check()
    slider = page.locator("#threshold input[type=number]")
    slider.fill("0")
    slider.press("Tab")
    expect(page.locator(".bars li.chosen")).to_have_count(20)
    page.get_by_label("as trained").check()
    expect(slider).to_be_hidden()


def test_a_prompt_of_markup_is_text_on_every_tab(site: Site) -> None:
    page = site.ana.open()
    page.locator("#prompt textarea").fill(EVIL)
    page.locator("#route").click()
    expect(page.locator(".bars li")).to_have_count(20)
    assert page.evaluate("window.hit") is None
    page.get_by_role("tab", name="Review").click()
    shows_as_text(page, ".suspect .prompt")
    page.get_by_role("tab", name="Audit").click()
    page.locator("#traced").get_by_role("textbox").fill(EVIL)
    page.locator("#trace").click()
    shows_as_text(page, "#way .notice")


def test_review_by_keyboard(site: Site) -> None:
    page = site.ana.open("Review")
    before, left = site.reviews(), page.locator("#left b")
    expect(left).not_to_be_empty()
    count, first = int(left.inner_text()), suspect_of(page)
    page.keyboard.press("ArrowRight")
    second = gone_on(page, first)
    page.keyboard.press("ArrowLeft")
    assert gone_on(page, second) == first
    note = page.locator("#review-note").get_by_role("textbox")
    note.click()
    note.type('k, "r" and d')
    page.keyboard.press("Shift+Enter")
    note.type("are keys")
    page.locator(".suspect").click()
    page.keyboard.press("k")
    second = gone_on(page, first)
    expect(left).to_have_text(str(count - 1))
    expect(page.locator("#suspect .notice")).to_contain_text(f"{first} kept")
    page.locator("#review-agents").get_by_label("maths", exact=True).check()
    page.keyboard.press("r")
    third = gone_on(page, second)
    page.keyboard.press("d")
    gone_on(page, third)
    expect(left).to_have_text(str(count - 3))
    written = site.reviews()[len(before) :]
    assert [(row["prompt_id"], row["decision"]) for row in written] == [
        (first, "keep"), (second, "relabel"), (third, "drop"),
    ]  # fmt: skip
    assert written[0]["note"] == 'k, "r" and d\nare keys', "typed into a field, keys write letters"
    assert "maths" in written[1]["agents"].split("|")
    assert {row["reviewer"] for row in written} == {"ana"}
    page.keyboard.press("u")
    expect(page.locator(f".suspect[data-row={third}]")).to_contain_text("ana decided: drop")
    page.locator("#review-keep").click()
    gone_on(page, third)
    assert site.reviews()[-1]["prompt_id"] == third
    assert site.reviews()[-1]["decision"] == "keep"
    page.reload()
    page.get_by_role("tab", name="Review").click()
    expect(left).to_have_text(str(count - 3))
    assert suspect_of(page) not in (first, second, third)


def test_keys_pressed_quickly_decide_a_row_each_and_undo_goes_all_the_way_back(site: Site) -> None:
    page = site.ana.open("Review")
    before, left = site.reviews(), page.locator("#left b")
    expect(left).not_to_be_empty()
    count, first = int(left.inner_text()), suspect_of(page)
    note, told = page.locator("#review-note").get_by_role("textbox"), page.locator("#suspect .notice")
    page.keyboard.press("u")
    expect(told).to_contain_text("nothing is left to undo")
    while page.locator("#review-agents input:checked").count():
        page.locator("#review-agents input:checked").first.uncheck()
    page.locator("#review-relabel").click()
    expect(told).to_contain_text("at least one agent")
    assert suspect_of(page) == first, "the row stays where a press is refused"
    note.fill("=1+1")
    page.locator("#review-next").click()
    gone_on(page, first)
    page.locator("#review-previous").click()
    expect(page.locator(f".suspect[data-row={first}]")).to_be_visible()
    expect(note).to_have_value("=1+1")
    page.locator("h1").click()
    for key in "kkk":
        page.keyboard.press(key)
    expect(left).to_have_text(str(count - 3))
    written = site.reviews()[len(before) :]
    assert len({row["prompt_id"] for row in written}) == 3
    assert (written[0]["prompt_id"], written[0]["note"]) == (first, "'=1+1")
    for key in "uuu":
        page.keyboard.press(key)
    expect(left).to_have_text(str(count))
    expect(page.locator(f".suspect[data-row={first}]")).to_be_visible()
    expect(note).to_have_value("=1+1")
    assert site.reviews() == before


def test_the_other_track_is_one_switch_away_and_has_names_and_a_journal_of_its_own(site: Site) -> None:
    page = site.ana.open("Review")
    page.get_by_role("navigation", name="Track").get_by_role("link", name="Models").click()
    expect(page.locator("#header")).to_contain_text("make nightly")
    expect(page.locator("#serving")).to_contain_text("no version in service")
    page.get_by_role("tab", name="Review").click()
    expect(page.locator("#hints")).to_contain_text("Nothing yet")
    assert str(site.project.root) not in page.locator("body").inner_text()
    expect(page.locator("#review-keep")).to_have_count(0)
    for tab in ("Versions", "Audit"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").filter(visible=True)).to_contain_text("make nightly")
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
    expect(page.locator(".difference h3").last).to_contain_text(" better, ")
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


def test_promotion_after_a_confirmation_and_back(site: Site) -> None:
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
    last = PromotionLog(Project(site.project.root)).proved()[-1]
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
    remember(site.project)
    page.locator("#rollback").click()
    page.locator("#confirm").click()
    expect(page.locator("#serving")).to_contain_text("version 1 in service")
    assert site.champion() == "1"


def remember(project: Sandbox) -> None:
    """As if version 1 had not learnt from a row that was forgotten, so that there is a way back to it."""
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


def test_a_key_does_what_it_may_and_no_more(site: Site) -> None:
    ben = site.visit("ben", BEN)
    page = ben.open()
    page.locator("#prompt textarea").fill("Book a flight.")
    page.locator("#route").click()
    expect(page.locator(".bars li")).to_have_count(20)
    page.get_by_role("tab", name="Review").click()
    expect(page.locator("#suspect .notice.bad")).to_contain_text("ben may not review")
    page.get_by_role("tab", name="Versions").click()
    expect(page.locator("table.versions tbody tr")).to_have_count(2)
    page.locator("#reason").get_by_role("textbox").fill("mine")
    for button in ("#promote", "#rollback"):
        page.locator(button).click()
        expect(page.locator("#move .notice.bad")).to_contain_text("ben may not promote")
    assert ben.elsewhere() == []
    ben.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_fits_a_narrow_window_in_both_themes(site: Site, theme: str) -> None:
    narrow = site.visit("ana", ANA, width=400)
    page = narrow.open(query=f"?__theme={theme}")
    for tab, there in TABS.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(there).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, tab
        ground, ink = page.evaluate(COLOURS)
        assert contrast(ground, ink) > 4.5, f"{tab}: {ink} on {ground}"
        assert (luminance(ground) < 0.2) == (theme == "dark")
    assert narrow.elsewhere() == []
    narrow.context.close()


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` (WCAG 2)."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
