"""Pages beside the main path: account, owner's actions, reports, jobs."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Site, open_context, sign_in


def test_a_token_is_shown_once_and_can_be_revoked(page: Page) -> None:
    page.goto("/account/")
    if not page.locator("#token_name").is_visible():
        page.click("text=New token")
    page.fill("#token_name", "laptop")
    page.select_option("#token_scope", "write")
    page.click("button:text-is('Create token')")
    secret = page.locator(".note code").inner_text()
    assert re.fullmatch(r"by_[A-Za-z0-9_-]{40}", secret)
    answer = page.request.get("/api/v1/me/", headers={"Authorization": f"Bearer {secret}"})
    assert answer.json()["username"] == "demo"
    page.goto("/account/")
    assert secret not in page.content()
    page.click("button[aria-label='Revoke laptop']")
    expect(page.locator(".note")).to_contain_text("revoked")
    assert page.request.get("/api/v1/me/", headers={"Authorization": f"Bearer {secret}"}).status == 401


def _merge(page: Page, name: str) -> None:
    page.goto("/combine/?with=wordsmith/opposites&with=wordsmith/past-tense&method=cat")
    page.fill("#name", name)
    page.click(".tray button.primary")
    page.wait_for_url("**/jobs/*")


def test_a_job_survives_a_reload_and_reaches_its_end_by_itself(page: Page) -> None:
    _merge(page, "reloaded")
    address = page.url
    page.reload()
    assert page.url == address
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    expect(page.locator("[data-log]")).to_contain_text("Opened wordsmith/opposites")
    page.goto("/jobs/")
    expect(page.locator(".jobs")).to_contain_text("demo/reloaded")


def test_the_owner_edits_publishes_and_deletes(page: Page) -> None:
    _merge(page, "short-lived")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    page.goto("/demo/short-lived/edit")
    page.fill("#id_description", "Edited in the browser.")
    page.fill("#id_tags", "x" * 60)
    page.click("button:text-is('Save')")
    expect(page.locator("#id_tags_error")).to_contain_text("is no tag")
    page.fill("#id_tags", "edited")
    page.click("button:text-is('Save')")
    page.wait_for_url("**/demo/short-lived")
    expect(page.locator(".prose")).to_contain_text("Edited in the browser.")
    page.click("button:text-is('Make public')")
    expect(page.locator("button:text-is('Make private')")).to_be_visible()
    page.click("text=Delete >> visible=true")
    expect(page.locator("#delete-dialog")).to_be_visible()
    page.click("#delete-dialog >> text=Keep it")
    expect(page.locator("#delete-dialog")).to_be_hidden()
    page.click("a.danger")
    page.click("#delete-dialog button.danger")
    page.wait_for_url("**/account/")
    answer = page.goto("/demo/short-lived")
    assert answer is not None
    assert answer.status == 410


def test_a_private_adapter_is_not_there_for_others(page: Page, browser: Browser, site: Site) -> None:
    _merge(page, "my-secret")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    context = open_context(browser, site)
    other = context.new_page()
    for path in ("", "/versions", "/archive/main.zip", "/files/main/README.md", "/report"):
        assert context.request.get(f"/demo/my-secret{path}").status == 404
    other.goto("/demo/my-secret")
    expect(other.locator("h1")).to_have_text("Nothing here")
    context.close()


def test_somebody_reports_and_the_moderator_sees_it(page: Page, browser: Browser, site: Site) -> None:
    page.goto("/wordsmith/past-tense")
    page.click("text=Report this adapter")
    page.check("#report-dialog input[value=spam]")
    page.fill("#report-dialog textarea", "Seen under another name.")
    page.click("#report-dialog button.primary")
    expect(page.locator(".note.good")).to_contain_text("A moderator will look at it")
    context = open_context(browser, site)
    admin = context.new_page()
    sign_in(admin, site, "admin")
    admin.goto("/admin/moderation/report/")
    expect(admin.locator("#content")).to_contain_text("past-tense")
    context.close()


def test_somebody_signs_up(browser: Browser, site: Site) -> None:
    context = open_context(browser, site)
    page = context.new_page()
    page.goto("/account/signup/")
    page.fill("[name=username]", "catalogue")
    page.fill("[name=email]", "newcomer@example.org")
    page.fill("[name=password1]", "a long enough phrase")
    page.fill("[name=password2]", "a long enough phrase")
    page.click("main button.primary")
    expect(page.locator("#id_username_error")).to_contain_text("The site needs this name")
    page.fill("[name=username]", "newcomer")
    page.fill("[name=password1]", "a long enough phrase")
    page.fill("[name=password2]", "a long enough phrase")
    page.click("main button.primary")
    expect(page.locator(".nav-end")).to_contain_text("newcomer")
    context.close()
