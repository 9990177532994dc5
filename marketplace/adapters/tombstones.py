"""What is left of deleted adapters: the answer at their address, and what their owners can bring back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from marketplace import policy
from marketplace.adapters.models import Adapter, FormerName
from marketplace.core.errors import Gone, NotFound


def named(owner: str, name: str) -> Q:
    """The adapter at ``owner/name``, in any spelling of capitals."""
    return Q(owner__username__iexact=owner, name__iexact=name)


def formerly_named(owner: str, name: str) -> Q:
    """The adapter that had the address ``owner/name`` before it was renamed or handed over."""
    former = FormerName.objects.filter(owner__username__iexact=owner, name__iexact=name)
    return Q(pk__in=former.values("adapter"))


def restorable_until(adapter: Adapter) -> datetime | None:
    """Until when a deleted adapter can be restored; None when it is not deleted, or purged."""
    if adapter.deleted_at is None or adapter.purged_at is not None:
        return None
    return adapter.deleted_at + timedelta(days=settings.RESTORE_DAYS)


def tombstones(user: policy.Person) -> QuerySet[Adapter]:
    """The deleted adapters that ``user`` may know of."""
    return Adapter.objects.filter(policy.allowed(user, policy.Action.SEE_TOMBSTONE)).select_related("owner")


def recently_deleted(user: policy.Person) -> QuerySet[Adapter]:
    """The user's own adapters that can still be restored, what was deleted last first."""
    since = timezone.now() - timedelta(days=settings.RESTORE_DAYS)
    mine = Adapter.objects.filter(policy.allowed(user, policy.Action.RESTORE), deleted_at__gt=since)
    return mine.select_related("owner").order_by("-deleted_at", "-id")


def get_tombstone(*, user: policy.Person, owner: str, name: str) -> Adapter:
    """The deleted adapter at an address of its own. Raises ``NotFound`` where ``user`` may not know of one."""
    found = tombstones(user).filter(named(owner, name) | formerly_named(owner, name)).first()
    if found is None:
        raise NotFound(f"There is no adapter {owner}/{name}, or it is not yours to see.")
    return found


def gone(user: policy.Person, adapter: Adapter) -> Gone:
    """The answer at a deleted adapter's address: since when, and whether somebody can bring it back."""
    until = restorable_until(adapter)
    open_until = until if until is not None and until > timezone.now() else None
    mine = policy.may(user, policy.Action.RESTORE, adapter) and open_until is not None
    words = f"{adapter.full_name} was deleted by its owner on {adapter.deleted_at:%-d %B %Y}."
    if adapter.owner.erased_at is not None:
        words = f"{adapter.full_name} was deleted on {adapter.deleted_at:%-d %B %Y}, with the account of its owner."
    elif mine:
        words += f" You can restore it until {open_until:%-d %B %Y}."
    elif open_until is not None:
        words += f" Only {adapter.owner.username} can restore it, until {open_until:%-d %B %Y}."
    return Gone(
        words,
        code="deleted",
        extra={
            "adapter": adapter.full_name,
            "deleted_at": adapter.deleted_at.isoformat() if adapter.deleted_at else None,
            "restorable_until": open_until.isoformat() if open_until else None,
            "may_restore": mine,
        },
    )
