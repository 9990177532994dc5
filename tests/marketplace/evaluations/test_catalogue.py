"""Finding adapters by what was measured of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.catalog.selectors import search
from marketplace.catalog.types import CatalogFilters
from marketplace.core.errors import Invalid
from marketplace.evaluations.models import Standing

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapters(make_adapter: Any, ada: User) -> dict[str, Adapter]:
    known = {
        "good": ("better", 0.75, 0.7, False),
        "idle": ("no_effect", 0.0, 0.0, None),
        "bad": ("worse", -0.25, -0.4, True),
        "narrow": ("better", 0.9, 0.3, True),
    }
    found = {name: make_adapter(ada, name) for name in ["never", *known, "unknown"]}
    for name, (verdict, gain, low, forgets) in known.items():
        Standing.objects.create(adapter=found[name], verdict=verdict, gain=gain, gain_low=low, forgets=forgets)
    # Asked for and not measured yet.
    Standing.objects.create(adapter=found["unknown"])
    return found


def names(client_user: User, **filters: Any) -> list[str]:
    found, cursor = [], ""
    while True:
        page = search(user=client_user, filters=CatalogFilters(**filters), cursor=cursor)
        found += [hit.adapter.name for hit in page.results]
        if not (cursor := page.next_cursor):
            return found


def test_gain_orders_and_unknown_comes_last(adapters: dict[str, Adapter], ada: User) -> None:
    for limit in (24, 2):
        assert names(ada, sort="gain", limit=limit) == ["good", "narrow", "idle", "bad", "unknown", "never"]


def test_verdicts_filter_and_count(adapters: dict[str, Adapter], ada: User) -> None:
    assert sorted(names(ada, verdict="better")) == ["good", "narrow"]
    assert sorted(names(ada, verdict="forgets")) == ["bad", "narrow"]
    facets = search(user=ada, filters=CatalogFilters()).facets["verdict"]
    assert {facet.value: facet.count for facet in facets} == {"better": 2, "forgets": 2, "no_effect": 1, "worse": 1}
    narrowed = search(user=ada, filters=CatalogFilters(verdict="forgets")).facets["verdict"]
    assert {facet.value: facet.count for facet in narrowed} == {"forgets": 2, "better": 1, "worse": 1}


def test_addresses_hold_the_filter() -> None:
    filters = CatalogFilters.from_params(QueryDict("verdict=worse&sort=gain"))
    assert filters.to_params() == "verdict=worse&sort=gain"
    with pytest.raises(Invalid, match="verdict"):
        CatalogFilters.from_params(QueryDict("verdict=great"))


def test_the_page_offers_them(adapters: dict[str, Adapter], client: Client) -> None:
    text = client.get("/catalogue/", {"sort": "gain"}).content.decode()
    assert re.search(r"<b>\+90</b> points over base</span><span[^>]*>at least \+30<", text)
    assert text.count("points over base") == 2, "what is not better is said in words, and unknown is not zero"
    assert "<span>Worse than its base</span>" in text
    assert "?verdict=no_effect&amp;sort=gain" in text
    assert "Gain over base" in text
    assert "?verdict=forgets&amp;sort=gain" in text
    assert text.count('could do">Forgets the probes</span>') == 2, "in the rows, too"
    narrowed = client.get("/catalogue/", {"verdict": "no_effect"}).content.decode()
    assert "measured: No effect" in narrowed
