"""The whole way of a gated adapter, with two people: set terms, ask, approve, download, revoke."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Site, open_context

NAME = "gated-mix"


def _merge(page: Page) -> None:
    page.goto("/combine/?with=wordsmith/opposites&with=wordsmith/past-tense&method=cat")
    page.fill("#name", NAME)
    page.click(".tray button.primary")
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)


def test_from_terms_to_revocation(page: Page, browser: Browser, site: Site) -> None:
    _merge(page)
    page.goto(f"/demo/{NAME}/access")
    page.check("input[value=gated]")
    page.fill("#openness_terms", "For *research* only.")
    page.click("button:text-is('Save')")
    expect(page.locator(".note")).to_contain_text("Saved")

    context = open_context(browser, site)
    asker = context.new_page()
    asker.goto(f"/demo/{NAME}")
    expect(asker.locator("main")).to_contain_text("This adapter is gated.")
    asker.click("text=Request access")
    asker.click("text=Sign in to request access")
    asker.fill("[name=login]", "admin")
    asker.fill("[name=password]", site.passwords["admin"])
    asker.click("main button.primary")
    asker.wait_for_url(f"**/demo/{NAME}/access")
    expect(asker.locator(".prose em")).to_have_text("research")
    asker.fill("#id_message", "For my thesis.")
    asker.click("button:text-is('Request access')")
    expect(asker.locator("#id_agree_error")).to_contain_text("Agree to the terms")
    asker.check("#id_agree")
    asker.click("button:text-is('Request access')")
    expect(asker.locator("main")).to_contain_text("Your request waits")
    zip_address = f"/demo/{NAME}/archive/main.zip"
    assert asker.request.get(zip_address).status == 403

    page.goto("/account/")
    page.click(f"#requests >> text=demo/{NAME}")
    expect(page.locator("#requests")).to_contain_text("For my thesis.")
    page.fill("#requests textarea", "Welcome.")
    page.click("button:text-is('Approve')")

    asker.goto(f"/demo/{NAME}/access")
    expect(asker.locator("main")).to_contain_text("Welcome.")
    assert asker.request.get(zip_address).status == 200
    asker.goto("/account/")
    expect(asker.locator("#shared")).to_contain_text(NAME)

    page.goto(f"/demo/{NAME}/access")
    page.click("button[aria-label='Revoke the access of admin']")
    assert asker.request.get(zip_address).status == 403
    context.close()
