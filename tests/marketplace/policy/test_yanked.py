"""An adapter of which every version is yanked: seen and loaded, not listed and not used for anything new."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import Conflict
from marketplace.policy import Action

pytestmark = pytest.mark.django_db


def test_yanked_adapters_are_seen_and_not_offered(make_adapter: Callable[..., Adapter], ada: User, bob: User) -> None:
    adapter = make_adapter(ada, "past")
    assert adapter.current is not None
    adapter.current.yanked_at, adapter.current.yank_reason = timezone.now(), "It forgets the first word."
    adapter.current.save()
    for person, lost in [(bob, {Action.LIST, Action.USE}), (ada, {Action.USE})]:
        held = policy.rights(person, adapter)
        assert {Action.VIEW, Action.DOWNLOAD} <= held
        assert not lost & held
        for action in Action:
            listed = Adapter.objects.filter(policy.allowed(person, action)).exists()
            assert listed is (action in held), action
    with pytest.raises(Conflict, match="It forgets the first word") as caught:
        policy.require(bob, Action.USE, adapter)
    assert caught.value.code == "yanked"
    # Whoever names the version means it: plans made before, and replays.
    policy.require(bob, Action.USE, adapter, version=adapter.current)


def test_tombstones_are_for_those_who_saw_the_adapter(
    make_adapter: Callable[..., Adapter], ada: User, bob: User
) -> None:
    public, private = make_adapter(ada, "public"), make_adapter(ada, "private", visibility="private")
    for adapter in (public, private):
        adapter.deleted_at = timezone.now()
        adapter.save()
    assert policy.rights(bob, public) == {Action.SEE_TOMBSTONE}
    assert policy.rights(bob, private) == set()
    assert policy.rights(ada, private) == {Action.SEE_TOMBSTONE, Action.RESTORE}
    public.purged_at, public.current = timezone.now(), None
    public.save()
    assert policy.rights(bob, public) == {Action.SEE_TOMBSTONE}
    assert Action.RESTORE not in policy.rights(ada, public)
