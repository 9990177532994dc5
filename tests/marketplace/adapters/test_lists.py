"""What lists of adapters read from the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["/", "/catalogue/", "/catalogue/?q=plural", "/api/v1/adapters/", "/account/"])
def test_a_lists_queries_neither_grow_nor_read_measurements(
    address: str, ada: User, make_adapter: Any, client: Client
) -> None:
    client.force_login(ada)
    counts = []
    for number in range(7):
        make_adapter(ada, f"plural{number}", base="wordsmith-v1", tags=["nouns"])
        if number not in (1, 6):
            continue
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(address)
        assert answer.status_code == 200
        assert f"plural{number}" in answer.content.decode()
        counts.append(len(asked))
        read = [query["sql"] for query in asked if 'FROM "adapters_adapter"' in query["sql"]]
        assert read
        for column in ("modules", "problems"):
            assert not [sql for sql in read if f'"adapters_artifact"."{column}"' in sql]
    assert counts[0] == counts[1]
