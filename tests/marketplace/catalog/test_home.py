"""The shop window."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.catalog.home import BRICKS, home

pytestmark = pytest.mark.django_db


def test_a_family_says_how_many_more_it_has(make_adapter: Any, ada: User, client: Client) -> None:
    for number in range(BRICKS):
        make_adapter(ada, f"brick-{number}", base="tiny", visibility="public")
    assert [family.others for family in home().families] == [0]
    assert "more</a>" not in client.get("/").content.decode()
    for number in range(2):
        make_adapter(ada, f"more-{number}", base="tiny", visibility="public")
    assert 'href="/catalogue/?base=tiny">and 2 more</a>' in client.get("/").content.decode()
