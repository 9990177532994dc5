"""Telling people things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.celery import app
from marketplace.core.errors import Invalid, NotAuthenticated
from marketplace.moderation import audit
from marketplace.notifications.models import Kind, MutedLetter, Notification
from marketplace.notifications.selectors import letters_of, notifications_of, wants_letter

logger = structlog.get_logger(__name__)

TASK = "marketplace.mail_notification"
_MAX_TITLE = 200


def notify(*, user: User, kind: str, title: str, address: str, text: str = "", letter: bool = True) -> Notification:
    """Tell ``user`` something, on the site at once and by e-mail after the commit. Call inside a transaction.

    What is told already and not read yet is not told twice: it gets the newer words. ``letter`` is False where another
    part writes the letter itself.
    """
    title = title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"
    unread = Notification.objects.select_for_update().filter(user=user, read_at=None)
    told = unread.filter(kind=kind, title=title, address=address).first()
    if told is not None:
        told.text, told.created_at = text, timezone.now()
        told.save(update_fields=["text", "created_at"])
        return told
    row = Notification.objects.create(user=user, kind=kind, title=title, text=text, address=address)
    if letter:
        send = partial(app.send_task, TASK, args=[row.pk], retry=False)
        # A broker that is away loses a letter, never what stands on the site.
        transaction.on_commit(send, robust=True)
    return row


def write_letter(key: int) -> bool:
    """Write the letter of one notification, once; whether it was written now."""
    with transaction.atomic():
        rows = Notification.objects.select_for_update(of=("self",), skip_locked=True).select_related("user")
        row = rows.filter(pk=key, mailed_at=None).first()
        if row is None or not _reachable(row):
            return False
        person = row.user
        body = (
            f"Hello {person.display_name or person.username},\n\n{row.title}.\n\n"
            + (f"{row.text}\n\n" if row.text else "")
            + f"{settings.SITE_URL}{row.address}\n\n"
            f"Choose which letters you get: {settings.SITE_URL}/account/#letters\n"
        )
        send_mail(row.title, body, None, [person.email])
        row.mailed_at = timezone.now()
        row.save(update_fields=["mailed_at"])
    return True


def _reachable(row: Notification) -> bool:
    if not row.user.email or row.user.closing_at is not None or not wants_letter(row.user, row.kind):
        logger.info("notification_not_mailed", user=row.user_id, kind=row.kind)
        return False
    return True


def mark_read(*, user: User, keys: Sequence[int] | None = None) -> int:
    """Mark one's notifications as read, all of them without ``keys``; how many were unread."""
    rows = notifications_of(user, unread=True)
    if keys is not None:
        rows = rows.filter(pk__in=keys)
    return rows.update(read_at=timezone.now())


def choose_letters(*, user: User, wanted: Mapping[str, bool]) -> dict[str, bool]:
    """Say by kind whether letters are wanted; kinds that are not named stay as they are."""
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to choose your letters.")
    unknown = sorted(set(wanted) - set(Kind.values))
    if unknown:
        sentence = f"There is no kind “{unknown[0]}”; there are {', '.join(Kind.values)}."
        raise Invalid(sentence, extra={"fields": {unknown[0]: [sentence]}})
    with transaction.atomic():
        for kind, wants in wanted.items():
            if wants:
                MutedLetter.objects.filter(user=user, kind=kind).delete()
            else:
                MutedLetter.objects.get_or_create(user=user, kind=kind)
        audit.record(actor=user, action="account.choose_letters", target=user.username, **wanted)
    return letters_of(user)


def forget_old() -> int:
    """Delete notifications older than ``NOTIFICATION_KEEP_DAYS``; how many."""
    horizon = timezone.now() - timedelta(days=settings.NOTIFICATION_KEEP_DAYS)
    return Notification.objects.filter(created_at__lt=horizon).delete()[0]
