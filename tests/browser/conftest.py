"""A complete real site for the browser tests: what ``make demo`` starts, in a folder of its own, once per run.

Neither the site nor Playwright, whose synchronous API keeps a loop running in the thread, outlives this package: the
asynchronous tests of other packages could not start.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "inference_worker" / "testbed" / "shipped"
VENDOR = Path(__file__).parent / "vendor"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY_WITHIN = 480.0
#: What the test run's own servers put into the environment and the site must not inherit.
_OWN = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "BLOB_STORE_URL", "STATIC_ROOT")
#: Milliseconds; the machine may be busy with other tests.
PATIENCE = 60_000
# What is expected of a page has as long as what is done on it; five seconds are the default.
expect.set_options(timeout=PATIENCE)


def chromium() -> str | None:
    """The system's Chromium, or the one named in the environment."""
    named = os.environ.get("CHROMIUM", "")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = chromium() is None
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))
            if missing:
                reason = "no Chromium is installed (Debian: apt install chromium), so no browser test can run"
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Site:
    """A running site. ``passwords`` maps the demo's users to theirs."""

    url: str
    passwords: dict[str, str]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _missing_parts(url: str) -> list[str]:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=30) as answer:
            state = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            state = json.load(error)
    except OSError:
        return ["web"]
    return [name for name, part in state["parts"].items() if not part["ok"]]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("browser") / "data"
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    environment |= {"PORT": str(port), "HOST": "127.0.0.1", "QUERY_TIMEOUT_SECONDS": "30"}
    # Evaluations of the whole library would keep the tests' own jobs waiting; one test asks for its own.
    environment |= {"EVALUATE_UPLOADS": "0"}
    # The site imports from itself.
    environment |= {"IMPORT_ALLOWED_HOSTS": "127.0.0.1"}
    command = [sys.executable, "-m", "marketplace.embedded"]
    log = data.parent / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "demo", "--die-with-parent", "--data", str(data)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://localhost:{port}"
    try:
        until = time.monotonic() + READY_WITHIN
        while "is ready at" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"The site did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.3)
        assert not (missing := _missing_parts(url)), f"These parts do not answer: {missing}"
        yield Site(url, json.loads((data / "passwords.json").read_text()))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        subprocess.run([*command, "reset", "--yes", "--data", str(data)], cwd=ROOT, env=environment, check=False)


@pytest.fixture(scope="package")
def browser(site: Site) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()


def open_context(browser: Browser, site: Site, **options: object) -> BrowserContext:
    context = browser.new_context(base_url=site.url, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    return context


def sign_in(page: Page, site: Site, user: str = "demo") -> None:
    page.goto("/account/login/")
    page.fill("[name=login]", user)
    page.fill("[name=password]", site.passwords[user])
    page.click("main button.primary")
    expect(page.locator(".nav-end"), page.inner_text("main")).to_contain_text(user, timeout=PATIENCE)


@pytest.fixture(scope="package")
def signed_in(browser: Browser, site: Site) -> dict[str, object]:
    """Cookies of the demo user."""
    context = open_context(browser, site)
    page = context.new_page()
    sign_in(page, site)
    state = context.storage_state()
    context.close()
    return dict(state)


@pytest.fixture
def page(browser: Browser, site: Site, signed_in: dict[str, object]) -> Iterator[Page]:
    """A page of the demo user. Errors in the page's scripts and refused resources fail the test."""
    context = open_context(browser, site, storage_state=signed_in)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    yield opened
    context.close()
    assert faults == []


@pytest.fixture
def plain_page(browser: Browser, site: Site, signed_in: dict[str, object]) -> Iterator[Page]:
    """The same without scripts."""
    context = open_context(browser, site, storage_state=signed_in, java_script_enabled=False)
    yield context.new_page()
    context.close()
