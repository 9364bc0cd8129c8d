"""The tab Route: what is shown is the newest question's answer, and names it."""

from __future__ import annotations

from playwright.sync_api import Route, expect
from visited_site import Site


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


def test_a_question_during_a_long_answer_is_not_dropped_and_the_newest_wins(site: Site) -> None:
    page, held = site.ana.open(), list[Route]()

    def hold(route: Route) -> None:
        if "a question that takes long" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/run/predict", hold)
    prompt, asked = page.locator("#prompt textarea"), page.locator(".asked")
    prompt.fill("a question that takes long")
    page.locator("#route").click()
    prompt.fill("Book a flight.")
    page.locator("#route").click()
    expect(asked).to_have_text("Book a flight.")
    assert len(held) == 1
    held[0].continue_()
    prompt.fill("Summarise the report.")
    page.get_by_label("the best one").check()
    expect(asked).to_have_text("Summarise the report.")
    expect(page.locator(".bars li.chosen")).to_have_count(1)


def test_a_prompt_over_the_limit_is_a_notice_beside_the_answer_before_it(site: Site) -> None:
    page = site.ana.open()
    prompt, told = page.locator("#prompt textarea"), page.locator("#answer .notice.bad")
    prompt.fill("Book a flight.")
    page.locator("#route").click()
    expect(page.locator(".asked")).to_have_text("Book a flight.")
    for length in (104_000, 1_200_000):
        prompt.fill("é" * length)
        page.locator("#route").click()
        expect(told).to_contain_text("more than 100,000 characters")
        assert len(prompt.input_value()) == length, "nothing of what was written is lost"
        expect(page.locator(".asked")).to_have_text("Book a flight.")
        prompt.fill("Book a flight.")
        page.locator("#route").click()
        expect(told).to_have_count(0)
