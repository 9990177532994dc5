"""axe-core finds no serious fault on any page, in light and in dark; nothing runs over the edge at 360 pixels."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import VENDOR, Site, open_context

ADAPTER = "/wordsmith/opposites"
OPEN_PAGES = [
    "/",
    "/catalogue/",
    "/catalogue/?q=opposite+of+a+word",
    "/catalogue/?view=grid",
    "/catalogue/?tag=no-such-tag",
    ADAPTER,
    f"{ADAPTER}/versions",
    f"{ADAPTER}/evaluations",
    "/suites/",
    f"{ADAPTER}/report",
    "/combine/",
    "/combine/?with=wordsmith/opposites&with=wordsmith/past-tense",
    "/playground/",
    "/playground/?with=wordsmith/opposites&with=wordsmith/past-tense",
    "/account/login/",
    "/account/signup/",
    "/account/password/reset/",
    "/nobody/nothing",
]
OWN_PAGES = [
    "/upload/",
    "/suites/new",
    "/import/",
    "/exports/",
    "/jobs/",
    "/account/",
    "/account/email/",
    "/account/password/change/",
]
AXE = (VENDOR / "axe-core" / "axe.min.js").read_text()
RUN = "axe.run({resultTypes: ['violations']})"


def _faults(page: Page) -> list[str]:
    # Evaluated by the debugger, which the page's own policy does not concern.
    page.evaluate(AXE)
    result: dict[str, Any] = page.evaluate(RUN)
    return [
        f"{fault['id']} ({fault['impact']}): {fault['nodes'][0]['html'][:160]}"
        for fault in result["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault(browser: Browser, site: Site, signed_in: dict[str, object], scheme: str) -> None:
    found = {}
    for state, paths in ((None, OPEN_PAGES), (signed_in, OWN_PAGES)):
        context = open_context(browser, site, color_scheme=scheme, reduced_motion="reduce", storage_state=state)
        page = context.new_page()
        for path in paths:
            page.goto(path)
            if faults := _faults(page):
                found[path] = faults
        context.close()
    assert found == {}


def test_narrow_screens_do_not_scroll_sideways(browser: Browser, site: Site, signed_in: dict[str, object]) -> None:
    context = open_context(browser, site, viewport={"width": 360, "height": 740}, storage_state=signed_in)
    page = context.new_page()
    wide = {}
    for path in [*OPEN_PAGES, *OWN_PAGES]:
        page.goto(path)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wide[path] = over
    context.close()
    assert wide == {}


def test_the_main_action_is_reached_by_keyboard_and_the_focus_is_visible(page: Page) -> None:
    page.goto("/catalogue/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus(".row h3 a")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_theme_is_kept(page: Page) -> None:
    page.goto("/")
    page.click("[data-theme-toggle]")
    page.click("[data-theme-toggle]")
    assert page.get_attribute("html", "data-theme") == "dark"
    page.goto("/catalogue/")
    assert page.get_attribute("html", "data-theme") == "dark"
