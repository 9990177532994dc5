"""Bases in the browser: an upload whose config names a folder, and the pages at every width."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, Site, open_context, sign_in
from tests.browser.samples import make_adapter


def test_shapes_suggest_the_base_and_the_owner_answers(page: Page, tmp_path: Path) -> None:
    files = make_adapter(tmp_path, "opposites", 1.375, base_model_name_or_path="./out/checkpoint-500")
    page.goto("/upload/")
    page.set_input_files("#files", [str(file) for file in files])
    page.click("#send")
    page.wait_for_url("**/upload/*-*")
    page.fill("#id_name", "trained-somewhere")
    expect(page.locator("#reading")).to_contain_text("These tensors fit", timeout=PATIENCE)
    # The answer came into the form by itself, and what was typed meanwhile is still there.
    expect(page.locator("#base-field select")).to_have_value("wordsmith-v1")
    expect(page.locator("#base-field")).to_contain_text("The config names a folder, ./out/checkpoint-500")
    expect(page.locator("#id_name")).to_have_value("trained-somewhere")
    page.select_option("#base-field select", "")
    page.click("button:text-is('Publish')")
    page.wait_for_url("**/demo/trained-somewhere")
    page.select_option("#which-base select", "wordsmith-v1")
    page.click("button:text-is('Save the base')")
    expect(page.locator(".note").first).to_contain_text("The base is saved.")
    page.click(".facts a:text-is('wordsmith-v1')")
    expect(page.locator("main")).to_contain_text("demo/trained-somewhere")


def test_staff_registers_names_and_deletes(browser: Browser, site: Site) -> None:
    context = open_context(browser, site, viewport={"width": 360, "height": 800}, color_scheme="dark")
    page = context.new_page()
    sign_in(page, site, "admin")
    page.goto("/bases/")
    page.click("text=Register a base")
    page.fill("#id_name", "org/copy")
    page.fill("#id_source", "wordsmith-v1")
    page.click("button:text-is('Register')")
    page.wait_for_url("**/bases/org/copy/")
    expect(page.locator("main")).to_contain_text("model.layers.*.self_attn.q_proj", timeout=PATIENCE)
    for address in ("/bases/", "/bases/org/copy/", "/bases/register/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    page.goto("/bases/org/copy/")
    page.fill("#id_alias", "house/copy-4bit")
    page.click("button:text-is('Add the name')")
    expect(page.locator(".alias-list")).to_contain_text("house/copy-4bit")
    page.click(".alias-list button")
    expect(page.locator("main")).not_to_contain_text("house/copy-4bit means")
    page.click("a:text-is('Delete')")
    page.click("button:text-is('Delete org/copy')")
    expect(page.locator("main")).to_contain_text("org/copy is deleted.")
    context.close()
