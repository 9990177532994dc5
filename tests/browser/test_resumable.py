"""An upload is paused, the page reloaded, the server killed, and the upload goes on where it was."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, PartialUpload, Upload, VersionFile
from tests.browser.conftest import CHROMIUM_ARGUMENTS, PATIENCE, ROOT, chromium
from tests.processes.web import Web

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

SIZE = 6_000_000
#: Bytes per second that the browser may send; on a busy machine, too, there is time to press a button before the end.
SLOW = 750_000


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path, STATIC_ROOT=str(ROOT / "static"), UPLOAD_SILENCE_SECONDS="5")
    web.start()
    yield web
    web.kill()


@pytest.fixture
def page(chrome: Browser, web: Web) -> Iterator[Page]:
    """A page of ``ada``, signed in. Errors in the page's scripts and refused resources fail the test."""
    User.objects.create_user("ada", "ada@example.org", "correct horse battery")
    context = chrome.new_context(base_url=web.url)
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    opened.goto("/account/login/?next=/upload/")
    opened.fill("[name=login]", "ada")
    opened.fill("[name=password]", "correct horse battery")
    opened.click("main button.primary")
    opened.wait_for_url("**/upload/")
    yield opened
    context.close()
    assert faults == []


def throttle(context: BrowserContext, page: Page, rate: int) -> None:
    """Bytes per second upwards; -1 for as fast as it goes."""
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate},
    )


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    config, weights = tmp_path / "run" / "adapter_config.json", tmp_path / "run" / "adapter_model.safetensors"
    config.parent.mkdir()
    said = {"peft_type": "LORA", "base_model_name_or_path": "none", "r": 8, "target_modules": ["q_proj"]}
    config.write_text(json.dumps(said))
    weights.write_bytes(random.Random(5).randbytes(SIZE))
    return [config, weights]


def arrived() -> int:
    """Bytes of the weights that the site has for certain."""
    row = PartialUpload.objects.filter(path__endswith="adapter_model.safetensors").first()
    return 0 if row is None else row.offset


def start(page: Page, files: list[Path]) -> None:
    page.set_input_files("#files", [str(file) for file in files])
    page.click("#send")


def sent(page: Page) -> float:
    """The share of the weights that the page shows as sent."""
    return float(page.locator("#chosen li", has_text="safetensors").locator("progress").evaluate("bar => bar.value"))


def wait_for_share(page: Page, share: float) -> None:
    page.wait_for_function(
        "share => [...document.querySelectorAll('#chosen progress')].at(-1)?.value > share", arg=share
    )


def test_pause_reload_a_killed_server_and_on_to_the_end(page: Page, web: Web, files: list[Path]) -> None:
    throttle(page.context, page, SLOW)
    start(page, files)
    wait_for_share(page, 0.2)
    expect(page.locator(".drop-brick")).to_be_hidden()
    expect(page.locator("#chosen .words").last).to_contain_text(re.compile(r"of 6\.0 MB"))
    page.click("#pause")
    expect(page.locator("#upload-status")).to_have_text("Paused.")
    expect(page.locator("#resume")).to_be_visible()
    before = sent(page)
    page.click("#resume")
    wait_for_share(page, before + 0.1)

    # The server dies under the upload and comes back; the page goes on by itself.
    web.kill()
    expect(page.locator("#upload-status")).to_contain_text("Trying again by itself")
    web.start()
    expect(page.locator("#upload-status")).to_contain_text("Uploading.")
    wait_for_share(page, 0.5)

    # A reload: the page knows what is missing, the browser does not know the file any more.
    page.reload()
    begun = page.locator(".begun")
    expect(begun).to_contain_text("adapter_model.safetensors")
    expect(begun).to_contain_text(re.compile(r"\d+ % of 6\.0 MB"))
    expect(begun).to_contain_text("arrived")
    other = files[1].parent.parent / "adapter_model.safetensors"
    other.write_bytes(random.Random(6).randbytes(SIZE))
    begun.locator("input[type=file]").set_input_files(str(other))
    expect(page.locator("#upload-error")).to_contain_text("is not the file that was begun: it was changed since")
    offset = arrived()
    assert 0 < offset < SIZE
    throttle(page.context, page, -1)
    begun.locator("input[type=file]").set_input_files(str(files[1]))
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))

    upload = Upload.objects.get()
    assert [file["sha256"] for file in upload.files] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    ]
    page.fill("#id_name", "resumed")
    page.click("button:text-is('Publish')")
    page.wait_for_url("**/ada/resumed")
    weights = VersionFile.objects.get(version__adapter=Adapter.objects.get(), path="adapter_model.safetensors")
    assert weights.blob_id == hashlib.sha256(files[1].read_bytes()).hexdigest()


def test_cancelling_and_discarding_delete_what_arrived(page: Page, web: Web, files: list[Path]) -> None:
    throttle(page.context, page, SLOW)
    start(page, files)
    wait_for_share(page, 0.2)
    page.click("#cancel")
    expect(page.locator("#upload-status")).to_have_text("Cancelled. Nothing is kept.")
    expect(page.locator("#send")).to_be_visible()
    assert not PartialUpload.objects.exists()
    page.click("#send")
    wait_for_share(page, 0.2)
    page.click("#pause")
    page.reload()
    page.click(".begun button:text-is('Discard')")
    expect(page.locator("main, .messages").first).to_be_visible()
    expect(page.locator(".begun")).to_have_count(0)
    assert not PartialUpload.objects.exists()
    assert list((web.blobs / "partial").iterdir()) == []


def test_choosing_the_same_files_in_the_form_goes_on_too(page: Page, files: list[Path]) -> None:
    throttle(page.context, page, SLOW)
    start(page, files)
    wait_for_share(page, 0.3)
    page.click("#pause")
    page.reload()
    throttle(page.context, page, -1)
    start(page, files)
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    assert PartialUpload.objects.count() == 2


def test_a_trainers_folder_is_sent_without_what_no_adapter_needs(page: Page, files: list[Path]) -> None:
    folder = files[0].parent
    (folder / "optimizer.pt").write_bytes(b"\x80\x04" + bytes(3_000_000))
    (folder / "checkpoint-100").mkdir()
    for file in files:
        (folder / "checkpoint-100" / file.name).write_bytes(file.read_bytes())
    page.set_input_files("#folder", str(folder))
    expect(page.locator("#left-out")).to_contain_text("optimizer.pt")
    expect(page.locator(".drop-brick")).to_be_visible()
    expect(page.locator("#chosen li")).to_have_count(2)
    expect(page.locator("#send")).to_have_text("Leave these out and upload")
    page.click("#send")
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
    assert {row.path for row in PartialUpload.objects.all()} == {f"run/{file.name}" for file in files}


def test_a_refusal_is_said_and_can_be_tried_again(page: Page, files: list[Path]) -> None:
    User.objects.update(quota_bytes=1000)
    start(page, files)
    expect(page.locator("#upload-error")).to_contain_text("This upload needs 6,000,000 bytes")
    User.objects.update(quota_bytes=None)
    page.click("#resume")
    page.wait_for_url(re.compile(r"/upload/[0-9a-f-]{36}"))
