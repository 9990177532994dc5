"""Reading accounts and tokens."""

from __future__ import annotations

from django.db.models import QuerySet

from marketplace.accounts.models import Token, User
from marketplace.core.errors import NotFound


def tokens_of(user: User) -> QuerySet[Token]:
    """The person's tokens that were not revoked, newest first; expired ones stay listed so that they are noticed."""
    return Token.objects.filter(owner=user, revoked_at=None)


def get_token(*, user: User, token_id: int) -> Token:
    """Raises ``NotFound`` for a token of somebody else as for one that never was."""
    token = Token.objects.filter(owner=user, pk=token_id).first()
    if token is None:
        raise NotFound("There is no such token.")
    return token
