"""Letters about accounts."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.core.mail import send_mail

from marketplace.accounts.models import User
from marketplace.celery import app

logger = structlog.get_logger(__name__)

CLOSING = "marketplace.mail_closing"


def send_closing(user: int) -> None:
    """Have the marketplace worker write the letter."""
    app.send_task(CLOSING, args=[user], retry=False)


def write_closing(key: int) -> bool:
    """Tell a person that their account is closing, in case it was not them; whether there was an address."""
    user = User.objects.filter(pk=key).exclude(closing_at=None).first()
    if user is None or user.closing_at is None or not user.email:
        logger.info("closing_not_mailed", user=key)
        return False
    body = (
        f"Hello {user.display_name or user.username},\n\n"
        f"your account {user.username} is closed. It will be erased on {user.closing_at:%-d %B %Y}, with everything "
        f"that is stored of you, and its adapters are deleted.\n\nTo keep it, sign in before that day and choose "
        f"“Keep my account”: {settings.SITE_URL}/account/\n"
    )
    send_mail(f"Your account {user.username} is closed", body, None, [user.email])
    return True
