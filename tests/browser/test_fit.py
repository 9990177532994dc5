"""How adapters fit, in a real browser: compared while one looks, ranked partners, and the same without scripts."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

TWO = "/combine/?with=wordsmith/opposites&with=wordsmith/past-tense"


def test_members_are_compared_while_one_looks(page: Page) -> None:
    page.goto(TWO)
    row = page.locator("#fit .fit-pairs tbody tr").first
    expect(row).to_contain_text(re.compile(r"chance \d+ %"))
    expect(page.locator("#fit")).not_to_contain_text("Comparing")
    page.get_by_text("wordsmith/opposites with wordsmith/past-tense, by layer").click()
    expect(page.get_by_role("row", name=re.compile("^layer 4"))).to_be_visible()
    page.get_by_text("Methods for these adapters").click()
    expect(page.get_by_role("row", name=re.compile("^legal .*Exact sum"))).to_be_visible()


def test_measured_pairs_are_there_at_once_without_scripts(plain_page: Page) -> None:
    page = plain_page
    page.goto("/combine/?with=wordsmith/plural-nouns&with=wordsmith/past-tense")
    if page.get_by_role("button", name="Compare them").count():
        page.get_by_role("button", name="Compare them").click()
    for _ in range(60):
        if "by layer" in page.locator("#fit").inner_text():
            break
        page.wait_for_timeout(500)
        page.goto("/combine/?with=wordsmith/plural-nouns&with=wordsmith/past-tense")
    expect(page.locator("#fit .fit-pairs").first).to_contain_text("chance")


def test_partners_of_one_adapter(page: Page) -> None:
    page.goto("/combine/?with=wordsmith/opposites")
    found = page.locator("#fit .partners")
    expect(found.get_by_role("heading", name="Find partners")).to_be_visible()
    button = found.get_by_role("button", name=re.compile("^Compare with"))
    if button.count():
        button.click()
        expect(found.locator("li").first).to_contain_text("predicted to keep")
    found.get_by_role("button", name=re.compile("^Add ")).first.click()
    expect(page.locator(".members li")).to_have_count(2)
