"""Audit of what django-allauth does: its signals are the only place where its writes can be seen."""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account import signals
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from marketplace.accounts.models import User
from marketplace.moderation import audit

logger = structlog.get_logger(__name__)


@receiver(signals.user_signed_up)
def on_sign_up(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.sign_up", target=user.username)


@receiver(signals.password_changed)
@receiver(signals.password_set)
def on_password_change(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.change_password", target=user.username)


@receiver(signals.password_reset)
def on_password_reset(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.reset_password", target=user.username)


@receiver(signals.email_changed)
def on_email_change(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.change_email", target=user.username)


@receiver(signals.email_added)
def on_email_added(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.add_email", target=user.username)


@receiver(signals.email_removed)
def on_email_removed(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(actor=user, action="account.remove_email", target=user.username)


@receiver(signals.email_confirmed)
def on_email_confirmed(sender: Any, request: HttpRequest, email_address: Any, **_: Any) -> None:
    """By the owner, with or without a session, or by an operator in the admin."""
    asker = getattr(request, "user", None)
    actor = asker if isinstance(asker, User) else email_address.user
    audit.record(actor=actor, action="account.confirm_email", target=email_address.user.username)


@receiver(user_login_failed)
def on_login_failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Not a write, so it goes to the log, where operators watch for guessing."""
    logger.warning("login_failed", username=str(credentials.get("username", ""))[:60])
