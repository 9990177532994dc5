"""Upload, find, merge, try, download, as a person does it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch
from peft import PeftModel
from playwright.sync_api import Page, expect
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.browser.conftest import PATIENCE, SHIPPED
from tests.browser.samples import make_adapter

PROMPT = "Instruction: Replace each word with its antonym.\nInput: hot big early day"


def _upload(page: Page, folder: Path) -> None:
    page.goto("/upload/")
    page.set_input_files("#files", [str(path) for path in make_adapter(folder, factor=1.01)])
    expect(page.locator("#chosen li")).to_have_count(2)
    page.click("#send")
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    expect(page.locator("#reading .state.good")).to_have_text("accepted", timeout=PATIENCE)
    expect(page.locator("#reading")).to_contain_text("q_proj")
    page.fill("#id_name", "contraries")
    page.fill("#id_description", "Swaps every adjective for the one that means the contrary.")
    page.select_option("#id_license", "mit")
    page.fill("#id_tags", "antonyms, vocabulary")
    page.click("text=Prompt format")
    page.fill("#id_template", "{prompt}\nOutput:")
    page.fill("#id_stop", "\\n")
    page.click("button:text-is('Publish')")
    page.wait_for_url("**/demo/contraries")


def _find(page: Page) -> None:
    page.goto("/catalogue/")
    page.fill("#q", "words that mean the contrary")
    row = page.locator(".row", has_text="demo/contraries")
    expect(row).to_be_visible(timeout=PATIENCE)
    expect(row.locator(".why")).to_contain_text("why")
    assert "q=words" in page.url
    row.locator("h3 a").click()
    page.wait_for_url("**/demo/contraries")


def _merge(page: Page) -> None:
    page.click(".adapter-head >> text=Combine")
    page.fill("#pick-q", "plural of nouns")
    add = page.locator("button[name=add][value='wordsmith/plural-nouns']")
    add.click()
    expect(page.locator(".members li")).to_have_count(2)
    expect(page.locator(".verdict")).to_contain_text("wordsmith-v1")
    page.check("input[name=method][value=cat]")
    expect(page.locator("#rank-help")).to_contain_text("Empty means 16, which follows from the method")
    assert "method=cat" in page.url
    assert "csrfmiddlewaretoken" not in page.url
    page.select_option("#dtype", "float32")
    page.fill("#name", "both-tasks")
    page.click(".tray button.primary")
    page.wait_for_url("**/jobs/*")
    page.reload()
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    expect(page.locator("[data-log] li").first).to_contain_text("Opened")


def _try(page: Page) -> None:
    page.click("text=Compare with its sources")
    expect(page.locator(".col")).to_have_count(4)
    page.fill("#prompt", PROMPT)
    page.click("#ask")
    expect(page.locator("#play-status")).to_have_text("All answers are complete", timeout=PATIENCE)
    facts = page.locator("[data-facts]").all_inner_texts()
    assert all(re.match(r"\d+ tokens, ", text) for text in facts), facts
    answers = [text.strip() for text in page.locator("[data-answer]").all_inner_texts()]
    own = page.locator(".col[data-member='demo/contraries'] [data-answer]").inner_text().strip()
    assert own == "cold small late night"
    assert answers[0] != own, "the bare base does not know the task"


def _download(page: Page, folder: Path) -> Path:
    page.goto("/demo/both-tasks")
    with page.expect_download() as waiting:
        page.click(".adapter-head >> text=Download")
    archive = folder / "both.zip"
    waiting.value.save_as(archive)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "both")
    return next((folder / "both").rglob("adapter_config.json")).parent


def _logits(model: torch.nn.Module) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED / "base")
    with torch.inference_mode():
        return model(**tokenizer(PROMPT, return_tensors="pt")).logits


def _base() -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)


def test_upload_find_merge_try_download(page: Page, tmp_path: Path) -> None:
    _upload(page, tmp_path / "mine")
    _find(page)
    _merge(page)
    _try(page)
    merged = PeftModel.from_pretrained(_base(), _download(page, tmp_path))
    # The reference is PEFT's own: the second adapter on top of a base into which the first was folded.
    folded = PeftModel.from_pretrained(_base(), tmp_path / "mine").merge_and_unload()
    expected = PeftModel.from_pretrained(folded, SHIPPED / "adapters" / "plural-nouns")
    difference = (_logits(merged) - _logits(expected)).abs().max().item()
    assert difference < 1e-3, difference
    assert (_logits(merged) - _logits(_base())).abs().max().item() > 0.5


def test_clusters_of_a_merge_are_drawn(page: Page) -> None:
    page.goto("/combine/?with=wordsmith/opposites&with=wordsmith/past-tense&method=lego&rank=6")
    page.fill("#name", "six-bricks")
    page.click(".tray button.primary")
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-state]")).to_have_text("succeeded", timeout=PATIENCE)
    page.click("text=Open six-bricks")
    expect(page.locator("#cluster-picture")).to_contain_text("16 units of 2 adapters became 6 bricks")
    assert page.locator(".cluster-svg .brick-edge").count() == 6
    last = (
        page.locator("#module option").last.get_attribute("value") or page.locator("#module option").last.inner_text()
    )
    page.select_option("#module", last)
    expect(page.locator("#module")).to_have_value(last)
    page.click("text=The same as a table")
    expect(page.locator("details:has-text('The same as a table') tbody tr")).to_have_count(6)
