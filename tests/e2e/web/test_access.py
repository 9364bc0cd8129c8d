"""Who and what gets in, and how: by key, by keyboard, by address, on any screen; markup does not."""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import Visit
from playwright.sync_api import Page, expect
from visited_site import ANA, BEN, EVIL, Site, shows_as_text

TABS = {"Route": ".bars", "Review": ".suspect", "Versions": "table.versions", "Audit": "section.audit",
        "Models": "svg.chart", "Nights": "table.nightly", "Traffic": "section.traffic .charts"}  # fmt: skip
STILL = (
    "!document.querySelector('.pending') && document.getAnimations().every("
    "one => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity)"
)


def test_nobody_gets_in_without_a_key(site: Site) -> None:
    stranger = Visit(site.browser, site.address)
    page = stranger.context.new_page()
    page.goto(site.address)
    expect(page).to_have_title("Log in – Switchtender")
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Key").fill(BEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    assert page.locator("#serving").count() == 0
    assert page.request.post(f"{site.address}gradio_api/run/predict", data={"data": []}).status == 401
    stranger.context.close()


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
    page.get_by_role("tab", name="Nights").click()
    expect(page.locator("table.nightly")).to_be_visible()
    page.locator("#start-night").click()
    expect(page.locator("#night-start .notice.bad")).to_contain_text("ben may not night")
    assert ben.elsewhere() == []
    ben.context.close()


def test_a_log_in_that_has_ended_is_said(site: Site) -> None:
    guest = site.visit("ben", BEN)
    page = guest.open("Audit")
    expect(page.locator("section.audit")).to_be_visible()
    guest.context.clear_cookies()
    expect(page.get_by_text("You are no longer logged in")).to_be_visible()
    page.get_by_role("link", name="Log in again").click()
    guest.fill_in(page, "ben", BEN)
    expect(page.locator("section.audit")).to_be_visible()
    guest.context.close()


def test_a_tab_has_an_address_and_a_reload_keeps_it_and_the_prompt(site: Site) -> None:
    page = site.ana.open()
    page.locator("#prompt textarea").fill("Book a flight.")
    page.get_by_role("tab", name="Audit").click()
    expect(page.locator("section.audit")).to_be_visible()
    assert page.url.endswith("/ui/#audit")
    page.reload()
    expect(page.locator("section.audit")).to_be_visible()
    page.go_back()
    expect(page.locator("#prompt textarea")).to_have_value("Book a flight.")
    expect(page.get_by_role("tab", name="Route")).to_have_attribute("aria-selected", "true")
    page.goto(f"{site.address}#models")
    expect(page.locator("svg.chart")).to_be_visible()


def test_tabs_and_policies_by_arrow_keys(site: Site) -> None:
    page = site.ana.open()
    page.locator("#prompt textarea").fill("Book a flight.")
    page.locator("#route").click()
    expect(page.locator(".bars li")).to_have_count(20)
    page.get_by_label("as trained").focus()
    for key, chosen in (("ArrowRight", "one threshold"), ("ArrowDown", "best"), ("ArrowLeft", "one threshold"),
                        ("ArrowUp", "stored"), ("ArrowLeft", "budget")):  # fmt: skip
        page.keyboard.press(key)
        expect(page.locator("#policy input:checked")).to_have_value(chosen)
    expect(page.locator("#budget")).to_be_visible()
    page.get_by_role("tab", name="Route").focus()
    for key, tab in (
        ("ArrowRight", "Review"),
        ("ArrowRight", "Versions"),
        ("Home", "Route"),
        ("ArrowLeft", "Traffic"),
        ("ArrowLeft", "Nights"),
        ("ArrowLeft", "Models"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name=tab)).to_be_focused()
        assert outline(page) == "solid 3px", "where the focus is can be seen"
    page.locator(".models .scroll").first.focus()
    assert outline(page) == "solid 3px"


def outline(page: Page) -> str:
    """The line around what has the focus."""
    line: str = page.evaluate("(({ outlineStyle, outlineWidth }) => `${outlineStyle} ${outlineWidth}`)"
                              "(getComputedStyle(document.activeElement))")  # fmt: skip
    return line


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_every_tab_is_accessible_and_fits_wide_and_narrow_in_both_themes(site: Site, theme: str, width: int) -> None:
    """No serious finding of axe (https://github.com/dequelabs/axe-core), and one h1 with no level left out below it."""
    visit = Visit(site.browser, site.address, width)
    page = visit.context.new_page()
    page.goto(site.address)
    assert findings(page) == [], "the log-in"
    visit.fill_in(page, "ana", ANA)
    page.goto(f"{site.address}?__theme={theme}")
    site.ask("Book a flight.")
    page.locator("#prompt textarea").fill("Book a flight. " * 40)
    page.locator("#route").click()
    for tab, there in TABS.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(there).first).to_be_visible()
        if tab == "Versions":
            page.locator("#compare").click()
            expect(page.locator(".difference")).to_be_visible()
        assert findings(page) == [], tab
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, tab
        levels = [int(name[1]) for name in page.locator("h1:visible, h2:visible, h3:visible").evaluate_all(
            "found => found.map(one => one.tagName)")]  # fmt: skip
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), tab
    assert ("dark" in (page.locator("body").get_attribute("class") or "")) == (theme == "dark")
    assert visit.elsewhere() == []
    visit.context.close()


def findings(page: Page) -> list[str]:
    """What axe finds that is serious or worse, once nothing moves or fades any more."""
    page.mouse.move(0, 0)
    page.wait_for_function(STILL)
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:200]}" for one in grave for node in one["nodes"]]
