"""Whatever is typed or put into the address, search answers or says what is wrong."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.accounts.models import User

pytestmark = pytest.mark.django_db

_QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
_NAMES = ["q", "base", "tag", "owner", "license", "origin", "rank_min", "rank_max", "sort", "limit", "cursor"]
_TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="'\"\\&|!():*<->%_ ab", max_size=20),
    st.sampled_from(["-1", "99999999999999999999", "1e9", "NaN", "on", "W10", "bnVsbA", "e30", "[]"]),
)


@pytest.fixture(autouse=True)
def _adapters(make_adapter: Any, ada: User) -> None:
    for number in range(3):
        make_adapter(ada, f"poem-{number}", description="Writes poems.", tags=["poems"])


@_QUICK
@given(parameters=st.dictionaries(st.sampled_from(_NAMES), _TEXT, max_size=4))
def test_any_parameters_over_rest_and_on_the_page(client: Client, parameters: dict[str, str]) -> None:
    query = urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in parameters.items()})
    for address in ("/api/v1/adapters/", "/catalogue/"):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code in (200, 400), (address, parameters)
        if answer.status_code == 400 and address.startswith("/api"):
            assert set(answer.json()) == {"code", "message", "extra"}


def test_pages_over_rest_visit_everything_once(client: Client) -> None:
    for query in ("q=poems&limit=1", "limit=1", "limit=2&sort=name"):
        found: list[str] = []
        address: str | None = f"/api/v1/adapters/?{query}"
        while address:
            page = client.get(address).json()
            found += [row["full_name"] for row in page["results"]]
            address = page["next"]
        assert sorted(found) == ["ada/poem-0", "ada/poem-1", "ada/poem-2"]
