"""Liking adapters: counted once each, by whoever sees them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import NotAuthenticated, NotFound
from marketplace.likes.models import Like
from marketplace.likes.services import forget_likes, set_like
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(make_adapter: Any, ada: User) -> Adapter:
    return make_adapter(ada, "plural", base="tiny")


def test_each_person_counts_once(adapter: Adapter, ada: User, bob: User) -> None:
    for _ in range(2):
        set_like(user=ada, adapter=adapter, likes=True)
    assert set_like(user=bob, adapter=adapter, likes=True).likes == 2
    for _ in range(2):
        assert set_like(user=ada, adapter=adapter, likes=False).likes == 1
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "adapter.like",
        "adapter.like",
        "adapter.unlike",
    ]
    forget_likes(bob)
    adapter.refresh_from_db()
    assert (adapter.likes, Like.objects.count()) == (0, 0)


def test_who_may(adapter: Adapter, bob: User) -> None:
    stranger: Any = AnonymousUser()
    with pytest.raises(NotAuthenticated):
        set_like(user=stranger, adapter=adapter, likes=True)
    adapter.visibility = "private"
    adapter.save()
    with pytest.raises(NotFound):
        set_like(user=bob, adapter=adapter, likes=True)


def test_page_and_rest(adapter: Adapter, bob: User, client: Client) -> None:
    assert "Like, 0 people do" not in client.get("/ada/plural").content.decode()
    client.force_login(bob)
    assert client.post("/ada/plural/like", {"likes": "1"}).headers["Location"] == "/ada/plural"
    page = client.get("/ada/plural").content.decode()
    assert 'aria-pressed="true"' in page
    assert "Like, 1 person does" in page
    assert "1 like" in client.get("/catalogue/").content.decode()
    assert client.get("/api/v1/adapters/ada/plural/").json()["likes"] == 1
    answer = client.delete("/api/v1/adapters/ada/plural/like/").json()
    assert answer == {"adapter": "ada/plural", "liked": False, "likes": 0}
    assert client.put("/api/v1/adapters/ada/plural/like/").json()["likes"] == 1
