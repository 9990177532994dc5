"""A card is written with its preview beside it, saved, and compared with the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.samples import make_adapter, zipped


def publish(page: Page, folder: Path, name: str) -> str:
    """Upload and publish by REST, as the page's own user; returns the adapter's address."""
    page.goto("/account/")
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    headers = {"X-CSRFToken": token, "Referer": page.url}
    archive = zipped(make_adapter(folder, factor=1.03), folder / "all.zip").read_bytes()
    sent = page.request.post(
        "/api/v1/uploads/",
        multipart={"files": {"name": "all.zip", "mimeType": "application/zip", "buffer": archive}},
        headers=headers,
    )
    body = {"upload": sent.json()["id"], "name": name, "description": "Swaps adjectives."}
    answer = page.request.post("/api/v1/adapters/", data=body, headers=headers)
    assert answer.status == 201, answer.text()
    return f"/{answer.json()['full_name']}"


@pytest.fixture
def address(page: Page, tmp_path: Path) -> str:
    return publish(page, tmp_path, f"card-{tmp_path.parent.name}-{tmp_path.name}"[:60].replace("_", "-"))


def test_the_preview_follows_the_text_and_a_secret_is_named(page: Page, address: str) -> None:
    page.goto(f"{address}/edit")
    page.get_by_role("link", name="README.md").click()
    text = page.get_by_label("README.md")
    before = text.input_value()
    preview = page.locator("#card-preview")
    text.fill(before + "\n## Written just now\n\nWith **care**.\n")
    expect(preview.get_by_role("heading", name="Written just now")).to_be_visible()
    text.fill(before + "\nMy token is hf_" + "aB3d" * 9 + "\n")
    expect(preview).to_contain_text("looks like a secret")
    text.fill(before + "\n## Written just now\n")
    page.get_by_label("What changed").fill("Say more")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Written just now")).to_be_visible()

    page.goto(f"{address}/versions")
    expect(page.locator("main")).to_contain_text("Say more")
    page.get_by_role("link", name="What changed").first.click()
    expect(page.locator(".diff tr.added", has_text="## Written just now")).to_have_count(1)
    expect(page.locator("main")).to_contain_text("The weights are the same bytes")


def test_without_scripts_a_button_previews(page: Page, plain_page: Page, address: str) -> None:
    plain_page.goto(f"{address}/card")
    plain_page.get_by_label("README.md").fill("# Plain\n\nNo script needed.\n")
    plain_page.get_by_role("button", name="Preview").click()
    expect(plain_page.locator("#card-preview")).to_contain_text("No script needed.")
    # A textarea's first line break is HTML's own.
    expect(plain_page.get_by_label("README.md")).to_have_value("# Plain\n\nNo script needed.\n")
