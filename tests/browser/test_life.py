"""An adapter's settings in the browser: a new name, a yanked version, the end and the way back."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE


def _merge(page: Page, name: str) -> None:
    page.goto("/combine/?with=wordsmith/opposites&with=wordsmith/past-tense&method=cat")
    page.fill("#name", name)
    page.click(".tray button.primary")
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    # The page loads itself once more at the end; what is asked for meanwhile would be interrupted.
    expect(page.locator(f"main a[href='/demo/{name}']").first).to_be_visible(timeout=PATIENCE)


def test_rename_then_the_old_address_leads_to_the_new(page: Page) -> None:
    _merge(page, "first-name")
    page.goto("/demo/first-name")
    page.click("a:text-is('Settings')")
    page.fill("#rename_name", "no/name")
    page.click("button:text-is('Rename')")
    expect(page.locator("#rename_name_error")).to_contain_text("Use 1 to 96 letters")
    page.fill("#rename_name", "second-name")
    page.click("button:text-is('Rename')")
    page.wait_for_url("**/demo/second-name/settings")
    expect(page.locator("#name")).to_contain_text("demo/first-name")
    page.goto("/demo/first-name/versions")
    assert page.url.endswith("/demo/second-name/versions")
    expect(page.locator("h1")).to_have_text("Versions")


def test_yank_and_take_back(page: Page) -> None:
    _merge(page, "yanked")
    page.goto("/demo/yanked/versions")
    page.click("summary:has-text('Yank or deprecate')")
    page.fill("input[name=reason]", "Answers in the wrong tense.")
    page.click("button:text-is('Yank')")
    expect(page.locator(".note.bad")).to_contain_text("Answers in the wrong tense.")
    page.goto("/demo/yanked")
    expect(page.locator(".note.bad")).to_contain_text("Yanked.")
    expect(page.locator(".adapter-head .actions")).not_to_contain_text("Combine")
    page.goto("/demo/yanked/versions")
    page.click("summary:has-text('Change its standing')")
    page.click("button:text-is('Take the yank back')")
    expect(page.locator("main")).not_to_contain_text("Answers in the wrong tense.")


def test_delete_tombstone_restore(page: Page) -> None:
    _merge(page, "gone-and-back")
    page.goto("/demo/gone-and-back/settings")
    page.click("#delete a:has-text('Delete')")
    page.click("dialog[open] button.danger")
    page.wait_for_url("**/account/")
    expect(page.locator("#deleted")).to_contain_text("gone-and-back")
    answer = page.goto("/demo/gone-and-back")
    assert answer is not None
    assert answer.status == 410
    expect(page.locator(".note")).to_contain_text(re.compile("You can restore it until"))
    page.click("button:has-text('Restore')")
    page.wait_for_url("**/demo/gone-and-back")
    expect(page.locator("main .note.good")).to_contain_text("is back")
    expect(page.locator("h1")).to_contain_text("gone-and-back")


def test_settings_and_closing_fit_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    _merge(page, "narrow")
    for address in ("/demo/narrow/settings", "/demo/narrow/versions", "/account/", "/account/close"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
