"""Who may see, load and change an adapter, in every state; the query says the same as the function."""

from __future__ import annotations

import itertools

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters import policy, selectors
from marketplace.adapters.models import Adapter, Artifact

pytestmark = pytest.mark.django_db

STATES = list(itertools.product(["public", "private"], ["visible", "quarantined", "removed"], Artifact.State.values))


def _expected(role: str, visibility: str, moderation: str, state: str) -> tuple[bool, bool, bool]:
    """(view, download, edit) in words of the architecture."""
    is_open = visibility == "public" and moderation == "visible" and state == "valid"
    if role == "owner":
        return True, moderation != "removed", moderation == "visible"
    if role == "moderator":
        seen = visibility == "public" or moderation != "visible"
        return seen, seen, False
    return is_open, is_open, False


@pytest.mark.parametrize("role", ["owner", "other", "moderator", "anonymous"])
def test_policy_table(role: str, ada: User, bob: User, moderator: User, make_adapter) -> None:  # type: ignore[no-untyped-def]
    user = {"owner": ada, "other": bob, "moderator": moderator, "anonymous": AnonymousUser()}[role]
    for number, (visibility, moderation, state) in enumerate(STATES):
        adapter: Adapter = make_adapter(ada, f"a{number}", visibility=visibility, moderation=moderation)
        assert adapter.current is not None
        Artifact.objects.filter(pk=adapter.current.artifact_id).update(state=state)
    found = Adapter.objects.select_related("current__artifact", "owner").order_by("pk")
    visible = set(selectors.visible_adapters(user))
    for adapter, (visibility, moderation, state) in zip(found, STATES, strict=True):
        what = (role, visibility, moderation, state)
        view, download, edit = _expected(*what)
        assert policy.may_view(user, adapter) is view, what
        assert (adapter in visible) is view, what
        assert policy.may_download(user, adapter) is download, what
        assert policy.may_edit(user, adapter) is edit, what
        # What a moderator took down is out of use for everybody, its owner included.
        use = download and moderation == "visible" and state == "valid"
        assert policy.may_use(user, adapter) is use, what


def test_deleted_and_unfinished_adapters(ada: User, bob: User, moderator: User, make_adapter) -> None:  # type: ignore[no-untyped-def]
    gone: Adapter = make_adapter(ada, "gone", deleted_at=timezone.now())
    empty = Adapter.objects.create(owner=ada, name="empty", visibility="public")
    for user in (ada, bob, moderator, AnonymousUser()):
        assert not policy.may_view(user, gone)
        assert not policy.may_use(user, gone)
        assert not policy.may_use(user, empty)
        assert gone not in selectors.visible_adapters(user)
    assert policy.may_view(ada, empty)
    assert not policy.may_view(bob, empty)
    assert empty not in selectors.visible_adapters(bob)
