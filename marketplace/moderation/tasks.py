"""What the marketplace worker does for moderation."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from marketplace.moderation.models import Decision
from marketplace.moderation.notices import WORDS
from marketplace.notifications.models import Kind
from marketplace.notifications.selectors import wants_letter

logger = structlog.get_logger(__name__)

#: A mail that could not be sent for this long is given up; the owner still reads the decision on the page.
GIVE_UP_AFTER = timedelta(days=7)


@shared_task(name="marketplace.mail_decisions")
def mail_decisions() -> int:
    """Tell owners what was decided and why; returns how many mails were sent.

    Runs after each decision and by beat, so that neither an emptied broker nor a mail server that is away loses one. A
    row stays locked while its mail is sent; a worker that dies in between may send it twice, never not at all.
    """
    sent = 0
    waiting = Decision.objects.filter(notified_at=None, created_at__gt=timezone.now() - GIVE_UP_AFTER)
    for key in list(waiting.order_by("pk").values_list("pk", flat=True)):
        try:
            sent += _tell(key)
        except OSError as error:
            # One address that the mail server refuses must not keep the others waiting; beat tries again.
            logger.warning("decision_mail_failed", decision=key, exc_info=error)
    return sent


def _tell(key: int) -> bool:
    with transaction.atomic():
        untold = Decision.objects.filter(pk=key, notified_at=None).select_related("adapter__owner")
        decision = untold.select_for_update(skip_locked=True, of=("self",)).first()
        if decision is None:
            return False
        mailed = _mail(decision)
        decision.notified_at = timezone.now()
        decision.save(update_fields=["notified_at"])
    return mailed


def _mail(decision: Decision) -> bool:
    adapter = decision.adapter
    if not adapter.owner.email or decision.action not in WORDS:
        logger.info("decision_not_mailed", decision=decision.pk, why="the owner has no e-mail address")
        return False
    if not wants_letter(adapter.owner, Kind.MODERATION):
        logger.info("decision_not_mailed", decision=decision.pk, why="the owner wants no such letters")
        return False
    headline, consequence = WORDS[Decision.Action(decision.action)]
    body = (
        f"Hello {adapter.owner.display_name or adapter.owner.username},\n\n"
        f"a moderator looked at {adapter.full_name}. It {headline}.\n\n"
        f"Reason: {decision.reason}\n\n{consequence}\n\n{settings.SITE_URL}{adapter.get_absolute_url()}\n"
    )
    send_mail(f"{adapter.full_name} {headline}", body, None, [adapter.owner.email])
    return True
