"""The tab Review, by keyboard and by mouse."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from visited_site import Site


def suspect_of(page: Page) -> str:
    return page.locator(".suspect").get_attribute("data-row") or ""


def gone_on(page: Page, row: str) -> str:
    """Wait until another suspect is shown than this one; returns it."""
    expect(page.locator(f".suspect[data-row={row}]")).to_have_count(0)
    return suspect_of(page)


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
    for row in (third, second, first):
        page.keyboard.press("u")
        expect(page.locator(f".suspect[data-row={row}]")).to_be_visible()
    expect(note).to_have_value('k, "r" and d\nare keys')
    assert site.reviews() == before, "a reload forgets nothing"


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
