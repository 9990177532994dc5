"""What is wrong with an upload stands on the page, with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE
from tests.browser.samples import make_adapter, spoil, zipped


def _send(page: Page, files: list[Path]) -> None:
    page.goto("/upload/")
    page.set_input_files("#files", [str(file) for file in files])
    page.click("#send")


def test_a_missing_file_is_said_before_anything_is_sent(page: Page, tmp_path: Path) -> None:
    config, _ = make_adapter(tmp_path)
    _send(page, [config])
    expect(page.locator("#upload-error")).to_contain_text("adapter_model.safetensors is missing")


def test_weights_that_are_no_numbers_are_refused_with_a_remedy(page: Page, tmp_path: Path) -> None:
    files = make_adapter(tmp_path, factor=0.97)
    spoil(files[1])
    _send(page, files)
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    expect(page.locator("h1")).to_have_text("This upload was not accepted", timeout=PATIENCE)
    expect(page.locator(".problems li.error").first.locator(".remedy")).not_to_be_empty()
    expect(page.locator("button:text-is('Publish')")).to_have_count(0)


def test_a_pickle_is_refused(page: Page, tmp_path: Path) -> None:
    config, _ = make_adapter(tmp_path)
    pickled = tmp_path / "adapter_model.bin"
    pickled.write_bytes(b"\x80\x04K\x01.")
    _send(page, [config, pickled])
    expect(page.locator("h1")).to_have_text("This upload was not accepted", timeout=PATIENCE)
    expect(page.locator(".problems")).to_contain_text("pickle", ignore_case=True)


def test_a_config_that_is_no_json_is_refused(page: Page, tmp_path: Path) -> None:
    files = make_adapter(tmp_path)
    files[0].write_text("{not json")
    _send(page, [zipped(files, tmp_path / "adapter.zip")])
    expect(page.locator(".problems")).to_contain_text("not valid JSON", timeout=PATIENCE)


@pytest.mark.parametrize(("name", "words"), [("-bad-", "begin and end with a letter"), ("edit", "reserved")])
def test_a_wrong_name_is_said_beside_its_field(page: Page, tmp_path: Path, name: str, words: str) -> None:
    _send(page, make_adapter(tmp_path, name="last-word", factor=1.5))
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    page.fill("#id_name", name)
    page.click("button:text-is('Publish')")
    expect(page.locator("#id_name_error")).to_contain_text(words)
    expect(page.locator("#id_name")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#id_name")).to_have_value(name)
