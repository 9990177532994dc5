"""The demo's downloads: uneven, by the ordinary counter, the same every time."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace.adapters.management.demo import download_some
from marketplace.adapters.models import Adapter

pytestmark = pytest.mark.django_db


def test_some_are_fetched_often_and_most_seldom(make_person: Any, make_adapter: Any) -> None:
    people = {name: make_person(name) for name in ("ada", "bela", "chiara", "dmitri", "esra", "farid", "greta", "hugo")}
    made = [make_adapter(people["ada"], f"adapter-{place}", base="tiny") for place in range(12)]
    download_some(people, made)
    counts = sorted(Adapter.objects.values_list("downloads", flat=True))
    assert counts[-1] >= 3 * max(counts[0], 1), counts
    assert len(set(counts)) >= 5, counts
    assert counts[-1] <= 4 * (len(people) - 1), "nobody fetches anything more than four times, and owners nothing"
    first = dict(Adapter.objects.values_list("name", "downloads"))
    Adapter.objects.update(downloads=0)
    download_some(people, made)
    assert dict(Adapter.objects.values_list("name", "downloads")) == first
