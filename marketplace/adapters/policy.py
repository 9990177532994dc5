"""Who may see, load and change an adapter. The same rules as a query: ``selectors.visible_adapters``."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact

Person = User | AnonymousUser


def is_open(adapter: Adapter) -> bool:
    """Everybody may see it: public, not moderated away, and its current version was accepted."""
    return (
        adapter.visibility == Adapter.Visibility.PUBLIC
        and adapter.moderation == Adapter.Moderation.VISIBLE
        and adapter.current is not None
        and adapter.current.artifact.state == Artifact.State.VALID
    )


def may_view(user: Person, adapter: Adapter) -> bool:
    """Owners see their own in every state; moderators see what is public or was moderated; others what is open."""
    if adapter.deleted_at is not None:
        return False
    if adapter.owner_id == user.pk:
        return True
    if _is_moderator(user):
        public = adapter.visibility == Adapter.Visibility.PUBLIC
        return public or adapter.moderation != Adapter.Moderation.VISIBLE
    return is_open(adapter)


def may_download(user: Person, adapter: Adapter) -> bool:
    """As ``may_view``, but what was removed is kept for moderators alone."""
    if adapter.moderation == Adapter.Moderation.REMOVED and not _is_moderator(user):
        return False
    return may_view(user, adapter)


def may_use(user: Person, adapter: Adapter) -> bool:
    """Merge it and generate with it: accepted, theirs to load, and not moderated away (for its owner neither)."""
    return (
        adapter.moderation == Adapter.Moderation.VISIBLE
        and adapter.current is not None
        and adapter.current.artifact.state == Artifact.State.VALID
        and may_download(user, adapter)
    )


def may_edit(user: Person, adapter: Adapter) -> bool:
    """The owner, as long as no moderator has taken it down."""
    return (
        adapter.deleted_at is None and adapter.owner_id == user.pk and adapter.moderation == Adapter.Moderation.VISIBLE
    )


def may_relicense(adapter: Adapter) -> bool:
    """Its author states a licence; a merge carries what its parents' licences ask for, and keeps it."""
    return adapter.origin != Adapter.Origin.MERGE and not adapter.private_reason


def viewable(user: Person) -> Q:
    """``may_view`` as a condition on ``Adapter`` rows."""
    rule = Q(
        visibility=Adapter.Visibility.PUBLIC,
        moderation=Adapter.Moderation.VISIBLE,
        current__artifact__state=Artifact.State.VALID,
    )
    if _is_moderator(user):
        rule |= Q(visibility=Adapter.Visibility.PUBLIC) | ~Q(moderation=Adapter.Moderation.VISIBLE)
    if user.is_authenticated:
        rule |= Q(owner=user)
    return Q(deleted_at=None) & rule


def _is_moderator(user: Person) -> bool:
    return isinstance(user, User) and user.is_moderator
