"""The same path with scripts switched off: plain forms, complete answers, pages that reload themselves."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE
from tests.browser.samples import make_adapter, zipped


def test_upload_and_publish(plain_page: Page, tmp_path: Path) -> None:
    page = plain_page
    page.goto("/upload/")
    archive = zipped(make_adapter(tmp_path / "files", name="last-word", factor=1.02), tmp_path / "last.zip")
    page.set_input_files("#files", str(archive))
    page.click("#send")
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    expect(page.locator("#reading .state.good")).to_have_text("accepted", timeout=PATIENCE)
    page.fill("#id_name", "plain-last-word")
    page.click("button:text-is('Publish')")
    page.wait_for_url("**/demo/plain-last-word")
    expect(page.locator("h1")).to_contain_text("plain-last-word")


def test_find_filter_and_download(plain_page: Page) -> None:
    page = plain_page
    page.goto("/")
    page.fill("#home-q", "plural of nouns")
    page.click(".hero button:text-is('Search')")
    page.click(".row:has-text('wordsmith/plural-nouns') h3 a")
    with page.expect_download() as waiting:
        page.click(".files a:text-is('adapter_config.json')")
    assert waiting.value.suggested_filename == "adapter_config.json"


def test_combine_and_follow_the_job(plain_page: Page) -> None:
    page = plain_page
    page.goto("/combine/?with=wordsmith/opposites")
    page.fill("#pick-q", "past tense of verbs")
    page.click("button:text-is('Find')")
    page.click("button[value='wordsmith/past-tense']")
    expect(page.locator(".members li")).to_have_count(2)
    assert "csrfmiddlewaretoken" not in page.url
    page.check("input[name=method][value=svd]")
    page.click("text=Show the method's parameters")
    page.fill("#rank", "8")
    page.fill("#name", "plain-merge")
    page.click("button:text-is('Merge')")
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    page.click("text=Open plain-merge")
    expect(page.locator("h1")).to_contain_text("plain-merge")


def test_the_playground_answers_completely(plain_page: Page) -> None:
    page = plain_page
    page.goto("/playground/?with=wordsmith/opposites")
    page.fill("#prompt", "Instruction: Replace each word with its antonym.\nInput: hot big early day")
    page.click("#ask")
    answers = page.locator("[data-answer]")
    expect(answers).to_have_count(2)
    expect(answers.nth(1)).to_have_text("cold small late night")


def test_a_fault_of_the_form_stands_on_the_page(plain_page: Page) -> None:
    page = plain_page
    page.goto("/combine/?with=wordsmith/opposites&with=wordsmith/past-tense")
    page.fill("#name", "not a name")
    page.click("button:text-is('Merge')")
    expect(page.locator("#name-error")).to_contain_text("Use 1 to 96 letters")
    expect(page.locator(".members li")).to_have_count(2)
