"""Liking an adapter and taking that back."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import NotAuthenticated
from marketplace.likes.models import Like
from marketplace.moderation import audit


def set_like(*, user: User, adapter: Adapter, likes: bool) -> Adapter:
    """Say whether ``user`` likes ``adapter``; saying it twice is no fault. The adapter with its count.

    Raises ``NotAuthenticated``, and ``NotFound`` for what the person may not see.
    """
    if not policy.is_known(user):
        raise NotAuthenticated("Sign in to like adapters.")
    policy.require(user, policy.Action.VIEW, adapter)
    write_like(user=user, adapter=adapter, likes=likes)
    adapter.refresh_from_db(fields=["likes"])
    return adapter


def write_like(*, user: User, adapter: Adapter, likes: bool) -> None:
    """The same without asking whether ``user`` sees it: what an empty site is filled with is still being checked."""
    with transaction.atomic():
        if likes:
            _, changed = Like.objects.get_or_create(user=user, adapter=adapter)
        else:
            changed = bool(Like.objects.filter(user=user, adapter=adapter).delete()[0])
        if changed:
            Adapter.objects.filter(pk=adapter.pk).update(likes=F("likes") + (1 if likes else -1))
            audit.record(actor=user, action=f"adapter.{'like' if likes else 'unlike'}", target=adapter.full_name)


def forget_likes(user: User) -> None:
    """Take back everything that a person likes, who is erased. Call inside a transaction."""
    for adapter in list(Like.objects.filter(user=user).values_list("adapter", flat=True)):
        Adapter.objects.filter(pk=adapter).update(likes=F("likes") - 1)
    Like.objects.filter(user=user).delete()
