"""A merge is never more open than what it was made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Lineage
from marketplace.adapters.services import set_visibility
from marketplace.core.errors import Conflict

pytestmark = pytest.mark.django_db


@pytest.fixture
def merge(gated: Adapter, bob: User, make_adapter: Callable[..., Adapter]) -> Adapter:
    """Bob's private merge of ada's gated adapter."""
    made = make_adapter(bob, "mix", visibility="private", origin="merge")
    Lineage.objects.create(child=made.current, parent=gated.current, operation="cat")
    return made


def test_a_merge_of_a_gated_parent_may_be_gated_and_not_public(merge: Adapter, bob: User) -> None:
    with pytest.raises(Conflict, match="gated by somebody else") as raised:
        set_visibility(user=bob, adapter=merge, visibility="public")
    assert raised.value.code == "parents_private"
    assert "ada/poems" not in raised.value.message
    assert set_visibility(user=bob, adapter=merge, visibility="gated").visibility == "gated"


def test_ones_own_gated_parent_is_no_hindrance(gated: Adapter, merge: Adapter, bob: User) -> None:
    Adapter.objects.filter(pk=gated.pk).update(owner=bob)
    assert set_visibility(user=bob, adapter=merge, visibility="public").visibility == "public"


def test_a_private_parent_keeps_it_private(gated: Adapter, merge: Adapter, bob: User) -> None:
    Adapter.objects.filter(pk=gated.pk).update(visibility="private")
    for visibility in ("public", "gated"):
        with pytest.raises(Conflict, match="stays private"):
            set_visibility(user=bob, adapter=merge, visibility=visibility)


def test_public_once_the_parent_is(gated: Adapter, merge: Adapter, bob: User) -> None:
    Adapter.objects.filter(pk=gated.pk).update(visibility="public")
    assert set_visibility(user=bob, adapter=merge, visibility="public").visibility == "public"
