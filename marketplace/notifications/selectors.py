"""Reading notifications, always one's own."""

from __future__ import annotations

from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.core.errors import NotAuthenticated, NotFound
from marketplace.notifications.models import Kind, MutedLetter, Notification


def notifications_of(user: User, *, unread: bool = False) -> QuerySet[Notification]:
    """Raises ``NotAuthenticated`` for strangers."""
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to see your notifications.")
    found = Notification.objects.filter(user=user)
    return found.filter(read_at=None) if unread else found


def get_notification(*, user: User, key: int) -> Notification:
    found = notifications_of(user).filter(pk=key).first()
    if found is None:
        raise NotFound("There is no such notification of yours.")
    return found


def count_unread(user: User) -> int:
    return Notification.objects.filter(user=user, read_at=None).count()


def letters_of(user: User) -> dict[str, bool]:
    """Kind → whether the person wants letters of it."""
    muted = set(MutedLetter.objects.filter(user=user).values_list("kind", flat=True))
    return {kind: kind not in muted for kind in Kind.values}


def wants_letter(user: User, kind: str) -> bool:
    return not MutedLetter.objects.filter(user=user, kind=kind).exists()
