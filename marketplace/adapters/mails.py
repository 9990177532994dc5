"""Letters about adapters: offers and their answers."""

from __future__ import annotations

from functools import partial

import structlog
from django.conf import settings
from django.core.mail import send_mail

from marketplace.accounts.models import User
from marketplace.adapters.letters import once_a_day
from marketplace.adapters.models import Transfer
from marketplace.celery import app
from marketplace.notifications.models import Kind
from marketplace.notifications.selectors import wants_letter

logger = structlog.get_logger(__name__)

OFFERED, ANSWERED = "offered", "answered"
TASK = "marketplace.mail_transfer"


def send_later(kind: str, transfer: int) -> None:
    """Have the marketplace worker write the letter. A broker that is away loses a letter, never an offer: the account
    page shows it."""
    app.send_task(TASK, args=[kind, transfer], retry=False)


def send(kind: str, key: int) -> bool:
    """Write to whoever the offer, or its answer, is for; whether there was an address to write to."""
    offer = Transfer.objects.select_related("adapter__owner", "sender", "receiver").filter(pk=key).first()
    if offer is None:
        return False
    if kind == OFFERED:
        if offer.state != Transfer.State.WAITING:
            return False
        return once_a_day(kind, offer.sender, offer.receiver, offer.adapter, partial(_offered, offer))
    return _answered(offer)


def _offered(offer: Transfer) -> bool:
    name = offer.adapter.full_name
    return _write(
        offer.receiver,
        f"{offer.sender.username} offers you {name}",
        f"{offer.sender.username} would like to hand {name} over to you. If you accept, it moves to your name and "
        f"counts towards your storage; its old address leads to the new one.\n\n"
        f"Accept or decline: {settings.SITE_URL}/account/#offers",
    )


def _answered(offer: Transfer) -> bool:
    name = offer.adapter.full_name
    if offer.state == Transfer.State.ACCEPTED:
        body = (
            f"{offer.receiver.username} has taken your adapter over. It is {name} now, and its old address leads there."
        )
        return _write(offer.sender, f"{offer.receiver.username} accepted {name}", body)
    body = f"{offer.receiver.username} declined your offer of {name}. It stays yours."
    return _write(offer.sender, f"{offer.receiver.username} declined {name}", body)


def _write(to: User, subject: str, body: str) -> bool:
    if not to.email or not wants_letter(to, Kind.TRANSFER):
        logger.info("transfer_not_mailed", user=to.pk, why="no e-mail address, or not wanted")
        return False
    send_mail(subject, f"Hello {to.display_name or to.username},\n\n{body}\n", None, [to.email])
    return True
