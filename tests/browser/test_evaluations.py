"""Measured results in the browser: from “unknown” to a bar with its interval, and a suite of one's own."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE

LINES = [{"prompt": f"Instruction: Replace each word with its antonym.\nInput: {word}", "expected": answer}
         for word, answer in [("hot", "cold"), ("east", "west"), ("early", "late"), ("day", "night")]]  # fmt: skip


def _ended(page: Page) -> None:
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=2 * PATIENCE)


def test_a_suite_of_ones_own(page: Page) -> None:
    page.goto("/suites/new")
    page.fill("#id_name", "Antonyms")
    page.fill("#id_lines", '{"prompt": "x"}')
    page.click("main button.primary")
    expect(page.locator("main .error").first).to_contain_text("Line 1: “expected” is missing.")
    page.fill("#id_lines", "\n".join(json.dumps(line) for line in LINES))
    page.click("main button.primary")
    expect(page.locator("h1")).to_have_text("Antonyms")
    expect(page.locator("main")).to_contain_text("Nothing was run on it yet.")

    page.goto("/wordsmith/opposites")
    expect(page.locator("#measured")).to_contain_text("Nothing is known yet.")
    assert page.locator("#measured svg").count() == 0, "unknown has no bar"
    page.click("#measured a:text-is('All results')")
    page.select_option("#suite", label="Antonyms (demo, 4 examples)")
    page.click("#run button")
    _ended(page)

    page.goto("/wordsmith/opposites/evaluations")
    row = page.locator("#others .gains > li")
    expect(row).to_contain_text("4 examples")
    bar = row.locator("svg.gain-bar")
    expect(bar).to_have_count(1)
    assert "95 % interval of the gain" in (bar.get_attribute("aria-label") or "")
    box, chart = bar.locator("circle").bounding_box(), bar.bounding_box()
    assert box is not None
    assert chart is not None
    assert chart["x"] - 8 <= box["x"] <= chart["x"] + chart["width"] + 8
    page.click("a:text-is('Example by example')")
    expect(page.locator("main")).to_contain_text(re.compile("by (exact match|token F1)"))
    assert page.locator("table.outcomes tbody tr").count() == 4

    page.goto("/suites/")
    page.click("a:text-is('Antonyms')")
    expect(page.locator("main table").first).to_contain_text("wordsmith/opposites")
    page.click("a:text-is('Delete')")
    page.click("main button.danger")
    expect(page.locator("main")).to_contain_text("Antonyms is deleted")


def test_pages_fit_a_phone_and_work_without_scripts(plain_page: Page) -> None:
    plain_page.set_viewport_size({"width": 360, "height": 740})
    for address in ("/wordsmith/opposites", "/wordsmith/opposites/evaluations", "/suites/", "/suites/new"):
        plain_page.goto(address)
        assert plain_page.evaluate("document.documentElement.scrollWidth") <= 360, address
