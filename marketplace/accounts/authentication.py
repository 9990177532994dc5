"""Bearer tokens and their scopes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from django.db.models import Q
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from marketplace import policy
from marketplace.accounts.models import Token, User
from marketplace.accounts.services import digest_of
from marketplace.core.errors import Forbidden

if TYPE_CHECKING:
    # REST framework's views import this module through the settings.
    from rest_framework.views import APIView

LEAVING = "Your account is about to be erased, so nothing of it changes. Choose “Keep my account” first."
#: ``last_used_at`` is this exact, so that a busy token does not write a row per request.
_USE_RESOLUTION = timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer by_…``. A wrong, expired or revoked token is refused rather than ignored.

    The token's prefix goes into the logging context, from where the audit log takes it.
    """

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = Token.objects.select_related("owner").filter(digest=digest_of(secret.strip())).first()
        if token is None or not token.is_live or not token.owner.is_active:
            raise exceptions.AuthenticationFailed("The token is unknown, expired or revoked.", code="bad_token")
        if request.method not in SAFE_METHODS and policy.is_leaving(token.owner):
            raise Forbidden(LEAVING, code="account_closing")
        structlog.contextvars.bind_contextvars(token_prefix=token.prefix, user_id=token.owner_id)
        now = timezone.now()
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_RESOLUTION)
        Token.objects.filter(stale, pk=token.pk).update(last_used_at=now)
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ScopePermission(BasePermission):
    """Reading is open (services hide what is private); writing needs a session or a token of scope ``write``."""

    message = "This needs a token with the scope “write”."

    def has_permission(self, request: Request, view: APIView) -> bool:
        # What needs no account needs no scope either: a token never may do less than nobody.
        if request.method in SAFE_METHODS or getattr(view, "anonymous_writes", False):
            return True
        if not request.user.is_authenticated:
            return False
        return not isinstance(request.auth, Token) or request.auth.scope == Token.Scope.WRITE


class SignedIn(BasePermission):
    """Somebody has to be known, for reading too."""

    message = "Sign in or send a token."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_authenticated)


class TokensComeFromSessions(BasePermission):
    """A token cannot make another token: one that leaks would otherwise outlive its own revocation."""

    message = "Tokens are made on the account page, or through REST with a signed-in session; not with a token."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method != "POST" or not isinstance(request.auth, Token)
