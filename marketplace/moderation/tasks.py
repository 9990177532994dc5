"""What the marketplace worker does for moderation."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail

from marketplace.moderation.models import Decision

logger = structlog.get_logger(__name__)

_WORDS = {
    Decision.Action.QUARANTINE: (
        "is in quarantine",
        "Others can no longer see or download it. You still see it, but cannot change it until it is restored.",
    ),
    Decision.Action.RESTORE: ("is restored", "It is as visible as before, and you can change it again."),
    Decision.Action.REMOVE: ("was removed", "It can no longer be seen or downloaded."),
}


@shared_task(name="marketplace.moderation.mail_decision")
def mail_decision(decision_id: int) -> bool:
    """Tell the owner what was decided and why. Returns whether a mail was sent."""
    decision = Decision.objects.select_related("adapter__owner").filter(pk=decision_id).first()
    if decision is None or decision.action not in _WORDS:
        return False
    adapter = decision.adapter
    if not adapter.owner.email:
        logger.info("decision_not_mailed", decision=decision_id, why="the owner has no e-mail address")
        return False
    headline, consequence = _WORDS[Decision.Action(decision.action)]
    body = (
        f"Hello {adapter.owner.display_name or adapter.owner.username},\n\n"
        f"a moderator looked at {adapter.full_name}. It {headline}.\n\n"
        f"Reason: {decision.reason}\n\n{consequence}\n\n{settings.SITE_URL}{adapter.get_absolute_url()}\n"
    )
    send_mail(f"{adapter.full_name} {headline}", body, None, [adapter.owner.email])
    return True
