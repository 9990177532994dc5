"""Keyset pages: every row once, in order, whatever is inserted meanwhile; damaged cursors are the sender's fault."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Upload
from marketplace.core.errors import Invalid
from marketplace.core.pagination import encode_cursor, keyset_page

pytestmark = pytest.mark.django_db


def _walk(order: tuple[str, ...], limit: int) -> list[Any]:
    found, cursor = [], None
    while True:
        page = keyset_page(Adapter.objects.all(), order=order, cursor=cursor, limit=limit)
        found += page.items
        assert len(page.items) <= limit
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


@pytest.mark.parametrize("order", [("-created_at", "-id"), ("downloads", "-id"), ("-downloads", "name", "id"), ("id",)])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_every_row_once_in_order(ada: User, order: tuple[str, ...], limit: int) -> None:
    now = timezone.now()
    for number in range(7):
        Adapter.objects.create(
            owner=ada, name=f"a{number}", downloads=number % 3, created_at=now - dt.timedelta(seconds=number % 2)
        )
    assert _walk(order, limit) == list(Adapter.objects.order_by(*order))


def test_rows_that_come_and_go_shift_nothing(ada: User) -> None:
    for number in range(6):
        Adapter.objects.create(owner=ada, name=f"a{number}")
    first = keyset_page(Adapter.objects.all(), order=("-created_at", "-id"), limit=3)
    Adapter.objects.create(owner=ada, name="new")
    Adapter.objects.filter(pk=first.items[-1].pk).delete()
    second = keyset_page(Adapter.objects.all(), order=("-created_at", "-id"), cursor=first.next_cursor, limit=3)
    assert [adapter.name for adapter in second.items] == ["a2", "a1", "a0"]
    assert second.next_cursor is None


def test_uuid_keys(ada: User) -> None:
    for _ in range(3):
        Upload.objects.create(owner=ada, created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    first = keyset_page(Upload.objects.all(), order=("-created_at", "-id"), limit=2)
    second = keyset_page(Upload.objects.all(), order=("-created_at", "-id"), cursor=first.next_cursor, limit=2)
    assert len({upload.pk for upload in [*first.items, *second.items]}) == 3


@pytest.mark.parametrize(
    "cursor",
    ["zzz", "e30", "W10", "bnVsbA", "\0", "W1siaWQiXSxbW11dXQ", "W1siaWQiXSxbeyJhdCI6MX1dXQ", "W1siaWQiXSxbInd4Il1d"],
)
def test_damaged_cursors(ada: User, cursor: str) -> None:
    with pytest.raises(Invalid):
        keyset_page(Adapter.objects.all(), order=("id",), cursor=cursor)


def test_cursor_of_another_order(ada: User) -> None:
    adapter = Adapter.objects.create(owner=ada, name="a")
    with pytest.raises(Invalid):
        keyset_page(Adapter.objects.all(), order=("id",), cursor=encode_cursor(adapter, ("-id",)))
