"""The merge lab in the browser: preview, save, repeat, sweep, clusters, without and with scripts."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE

PAIR = "/combine/?with=wordsmith%2Fopposites&weight=1&with=wordsmith%2Fpast-tense&weight=1&method=lego&rank=8"


def test_preview_save_repeat_and_look_at_the_bricks(page: Page) -> None:
    page.goto(PAIR)
    page.fill("#prompt-1", "opposite: hot")
    page.click("button:text-is('Preview')")
    page.wait_for_url("**/combine/previews/*")
    merge = page.locator(".answer-cell.merge").first
    expect(merge).to_contain_text("The merge", timeout=PATIENCE)
    expect(page.locator(".preview-row").first.locator(".answer-cell")).to_have_count(4)
    page.click("a:text-is('Change the settings')")
    page.wait_for_url(re.compile(r"/combine/\?trial=[0-9a-f-]+$"))
    expect(page.locator("#prompt-1")).to_have_value("opposite: hot")
    expect(page.locator(".members li")).to_have_count(2)
    expect(page.locator("input[name=method][value=lego]")).to_be_checked()
    page.go_back()
    page.fill("#save-name", "lab-bricks")
    page.click("button:text-is('Save this merge')")
    page.wait_for_url("**/jobs/*")
    page.click("a:text-is('Open lab-bricks')", timeout=PATIENCE)
    expect(page.locator(".lineage-tree")).to_contain_text("wordsmith/opposites")
    expect(page.locator(".recipe-facts")).to_contain_text("LoRA-LEGO")

    brick = page.locator("[data-brick]").first
    brick.focus()
    expect(page.locator("[data-brick-words]")).to_contain_text("purity")
    expect(page.locator(".cluster-svg.choosing path.lit").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-brick].lit")).to_have_attribute("data-brick", "2")
    page.locator(".cluster-grid a:not([aria-current])").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".cluster-grid a[aria-current]")).to_have_count(1)

    page.click("button:text-is('Merge again')")
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".note.good")).to_contain_text("Byte for byte the same", timeout=PATIENCE)


def test_sweep_fills_its_chart_and_saves_the_highest(page: Page) -> None:
    page.goto(PAIR)
    page.click("summary:text-is('Measure several weights, methods or ranks as one job')")
    page.fill("#sweep-ranks", "2, same")
    page.select_option("#suite", "own")
    page.fill("#examples", "opposite: hot => cold\nopposite: up => down")
    page.click("button:text-is('Sweep')")
    page.wait_for_url("**/combine/sweeps/*")
    # Sweeps wait behind the evaluations that come with the adapters.
    expect(page.locator(".sweep-table tr.point")).to_have_count(2, timeout=4 * PATIENCE)
    expect(page.locator("h2:has-text('Save the highest')")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".sweep-svg .mark")).to_have_count(2)
    page.locator(".sweep-table tr.point a").first.click()
    expect(page.locator("#rank")).to_have_value(re.compile("^2?$"))
    expect(page.locator(".members li")).to_have_count(2)


def test_the_form_follows_what_is_written(page: Page) -> None:
    """Also where it is longer than an address may be; then the address stays what it was."""
    page.goto(PAIR)
    page.check("input[name=method][value=ties]")
    expect(page.locator("summary:has-text('Options of TIES')")).to_be_visible()
    page.wait_for_url("**method=ties**")
    page.reload()
    expect(page.locator("input[name=method][value=ties]")).to_be_checked()
    page.locator("summary:text-is('Weight by layers')").first.click()
    layers = "; ".join(f"{layer}: 0.5" for layer in range(2000))
    page.locator("input[name=layers]").first.fill(layers)
    page.check("input[name=method][value=svd]")
    expect(page.locator("summary:has-text('Options of TIES')")).to_have_count(0)
    expect(page.locator("input[name=layers]").first).to_have_value(layers)
    assert "method=ties" in page.url
    page.click("button[aria-label='Remove wordsmith/opposites']")
    expect(page.locator(".members li")).to_have_count(1)
    page.wait_for_url("**method=svd**")


def test_faults_keep_what_was_written_without_scripts(plain_page: Page) -> None:
    plain_page.goto(f"{PAIR}&include=nowhere")
    plain_page.fill("#name", "never")
    plain_page.click("button:text-is('Merge')")
    expect(plain_page.locator("#include ~ .error")).to_contain_text("“nowhere” fits no module of these adapters")
    expect(plain_page.locator("#include")).to_have_value("nowhere")
    expect(plain_page.locator("#name")).to_have_value("never")
    plain_page.check("input[name=method][value=svd]")
    plain_page.click('button:text-is("Show the method\'s parameters")')
    expect(plain_page.locator("input[name=method][value=svd]")).to_be_checked()
    assert plain_page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
