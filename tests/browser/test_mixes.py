"""Mixes in the browser: saved from the form, asked in the playground, evaluated regularly; at every width."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Site, open_context

MEMBERS = "with=wordsmith/opposites&weight=0.6&with=lists/reverse-words&weight=0.4"


def test_save_ask_and_watch_a_mix(page: Page) -> None:
    page.goto(f"/combine/?{MEMBERS}")
    page.click("a:text-is('Save as a mix')")
    expect(page.locator("h1")).to_have_text("New mix")
    expect(page.locator("[name=weight]").first).to_have_value("0.6")
    page.fill("#name", "both-at-once")
    page.check("[name=visibility][value=public]")
    page.locator("[name=weight]").last.fill("much")
    page.click("aside button:text-is('Save')")
    expect(page.locator("[role=alert]")).to_contain_text("Write a number such as 0.5.")
    page.locator("[name=weight]").last.fill("−0.3")
    page.click("aside button:text-is('Save')")
    page.wait_for_url("**/mix/demo/both-at-once")
    expect(page.locator(".mix-members")).to_contain_text("−0.3")
    page.click("#measured button:text-is('Evaluate')")
    expect(page.locator("#measured")).to_contain_text("Examples of wordsmith/opposites")

    page.click("a:text-is('Try it')")
    column = page.locator(".col[data-member='mix/demo/both-at-once']")
    expect(column).to_contain_text("mix of 2, demo")
    page.fill("#prompt", "Instruction: Replace each word with its antonym.\nInput: day brother short love")
    page.click("#ask")
    expect(column.locator("[data-facts]")).to_contain_text("tokens", timeout=PATIENCE)
    expect(column.locator("[data-answer]")).not_to_be_empty(timeout=PATIENCE)

    page.goto("/mix/demo/both-at-once")
    page.select_option("#watch-every", "weekly")
    page.click(".watch-control button")
    expect(page.locator(".note").first).to_contain_text("mix/demo/both-at-once is evaluated regularly from now on.")
    page.click("a:text-is('Results so far')")
    expect(page.locator("h1")).to_have_text("mix/demo/both-at-once")
    page.click("header .bell")
    expect(page.locator("h1")).to_have_text("Notifications")


def test_every_page_fits(browser: Browser, site: Site, signed_in: dict[str, object]) -> None:
    context = open_context(
        browser, site, storage_state=signed_in, viewport={"width": 360, "height": 800}, color_scheme="dark"
    )
    page = context.new_page()
    for address in ("/mixes/", f"/mixes/new?{MEMBERS}", "/notifications/", "/watches/", "/account/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    context.close()
