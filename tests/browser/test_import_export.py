"""An adapter leaves the site in another form, and comes back from an address, in a real browser."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.browser.conftest import PATIENCE, Site

pytestmark = pytest.mark.browser


def test_a_merged_model_loads_in_transformers(page: Page, tmp_path: Path) -> None:
    page.goto("/wordsmith/plural-nouns")
    box = page.locator("#export")
    expect(box.get_by_role("heading", name="GGUF adapter")).to_be_visible()
    box.get_by_label("Number format of the Merged model").select_option("float32")
    box.get_by_role("button", name="Export Merged model").click()
    expect(page.get_by_role("heading", name="Merged model of wordsmith/plural-nouns")).to_be_visible()
    link = page.get_by_role("link", name="Download zip")
    expect(link).to_be_visible(timeout=4 * PATIENCE)
    with page.expect_download() as started:
        link.click()
    with zipfile.ZipFile(io.BytesIO(Path(started.value.path()).read_bytes())) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype.itemsize == 4
    assert len(tokenizer) <= model.config.vocab_size
    assert json.loads((folder / "export.json").read_text())["adapter"]["label"] == "wordsmith/plural-nouns"

    page.goto("/exports/")
    expect(page.get_by_role("heading", name="Merged model of wordsmith/plural-nouns")).to_be_visible()
    page.get_by_role("button", name="Delete Merged model of wordsmith/plural-nouns").click()
    expect(page.get_by_text("Nothing is exported")).to_be_visible()


def test_an_import_from_an_address(page: Page, site: Site) -> None:
    page.goto("/upload/")
    page.get_by_role("link", name="import from an address").click()
    page.get_by_label("Id or address").fill("http://example.org/a.zip")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("The address is not encrypted")).to_be_visible()
    address = f"{site.url.replace('localhost', '127.0.0.1')}/wordsmith/opposites/archive/main.zip"
    page.get_by_label("Id or address").fill(address)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name=f"Import of {address}")).to_be_visible()
    page.get_by_role("link", name="See what was read").click(timeout=2 * PATIENCE)
    expect(page.get_by_role("heading", name="Publish your adapter")).to_be_visible()
    expect(page.get_by_text("wordsmith-v1").first).to_be_visible(timeout=PATIENCE)


def test_an_address_that_leads_nowhere_says_so(plain_page: Page, site: Site) -> None:
    """Without scripts: the job's page asks for itself again until the worker has answered."""
    plain_page.goto("/import/")
    address = f"{site.url.replace('localhost', '127.0.0.1')}/wordsmith/none/archive/main.zip"
    plain_page.get_by_label("Id or address").fill(address)
    plain_page.get_by_role("button", name="Import").click()
    expect(plain_page.get_by_text("has no main.zip at this address")).to_be_visible(timeout=2 * PATIENCE)
    expect(plain_page.get_by_role("button", name="Try again")).to_be_visible()
