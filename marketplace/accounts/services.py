"""What people do with their account and its API tokens."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import Token, User
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.moderation import audit

TOKEN_PREFIX = "by_"  # noqa: S105
#: 30 random bytes are 40 characters of URL-safe base64 without padding: 240 bits.
_TOKEN_BYTES = 30
_SHOWN_CHARACTERS = 8
MAX_LIVE_TOKENS = 50


def digest_of(secret: str) -> str:
    """What is stored of a token's secret. It has 240 random bits, so a plain sha256 cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(
    *, user: User, name: str, scope: str = Token.Scope.READ, expires_at: datetime | None = None
) -> tuple[Token, str]:
    """Make a token and return it with its secret, which is shown once and never stored.

    Raises ``Invalid`` (name, scope or expiry) and ``Conflict`` (too many live tokens).
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to make a token.")
    name = name.strip()
    faults: dict[str, list[str]] = {}
    if not name or len(name) > 80:
        faults["name"] = ["Give the token a name of 1 to 80 characters, so that you know later what it is for."]
    if scope not in Token.Scope.values:
        faults["scope"] = [f"Choose one of: {', '.join(Token.Scope.values)}."]
    if expires_at is not None and expires_at <= timezone.now():
        faults["expires_at"] = ["The expiry lies in the past. Choose a later time or none."]
    if faults:
        raise Invalid(" ".join(sentence for fault in faults.values() for sentence in fault), extra={"fields": faults})
    secret = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    with transaction.atomic():
        # The lock makes the count and the insert one step for concurrent requests of the same person.
        User.objects.select_for_update().get(pk=user.pk)
        live = sum(token.is_live for token in Token.objects.filter(owner=user, revoked_at=None))
        if live >= MAX_LIVE_TOKENS:
            raise Conflict(f"You have {live} tokens in use, which is the limit. Revoke one first.", code="token_limit")
        token = Token.objects.create(
            owner=user,
            name=name,
            prefix=secret[:_SHOWN_CHARACTERS],
            digest=digest_of(secret),
            scope=scope,
            expires_at=expires_at,
        )
        audit.record(
            actor=user,
            action="token.create",
            target=f"{user.username}/{token.prefix}",
            name=name,
            scope=scope,
            expires_at=expires_at.isoformat() if expires_at else None,
        )
    return token, secret


def revoke_token(*, user: User, token: Token) -> Token:
    """End a token at once. Revoking twice is no fault. Raises ``NotFound`` for a token of somebody else, which only
    a superuser may revoke."""
    if not (policy.owns(user, token) or policy.may_see_everything(user)):
        raise NotFound("There is no such token.")
    with transaction.atomic():
        token = Token.objects.select_for_update().get(pk=token.pk)
        if token.revoked_at is None:
            token.revoked_at = timezone.now()
            token.save(update_fields=["revoked_at"])
            target = f"{token.owner.username}/{token.prefix}"
            audit.record(actor=user, action="token.revoke", target=target, name=token.name)
    return token


def edit_profile(*, user: User, display_name: str) -> User:
    """Change what the account page lets people change. Raises ``Invalid``."""
    display_name = " ".join(display_name.split())
    if len(display_name) > 80:
        sentence = "Use at most 80 characters."
        raise Invalid(sentence, extra={"fields": {"display_name": [sentence]}})
    with transaction.atomic():
        user.display_name = display_name
        user.save(update_fields=["display_name"])
        # Not the names themselves: what is in the log stays when the account is erased.
        audit.record(actor=user, action="account.edit", target=user.username, fields=["display_name"])
    return user
