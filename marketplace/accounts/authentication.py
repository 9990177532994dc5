"""Bearer tokens and their scopes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from marketplace.accounts.models import Token, User

if TYPE_CHECKING:
    # REST framework's views import this module through the settings.
    from rest_framework.views import APIView


class TokenAuthentication(BaseAuthentication):
    """``Authorization: Bearer by_…``. A wrong, expired or revoked token is refused rather than ignored."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        digest = hashlib.sha256(secret.strip().encode()).hexdigest()
        token = Token.objects.select_related("owner").filter(digest=digest).first()
        if token is None or not token.is_live or not token.owner.is_active:
            raise exceptions.AuthenticationFailed("The token is unknown, expired or revoked.", code="bad_token")
        Token.objects.filter(pk=token.pk).update(last_used_at=timezone.now())
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ScopePermission(BasePermission):
    """Reading is open (services hide what is private); writing needs a session or a token of scope ``write``."""

    message = "This needs a token with the scope “write”."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        if not request.user.is_authenticated:
            return bool(getattr(view, "anonymous_writes", False))
        return not isinstance(request.auth, Token) or request.auth.scope == Token.Scope.WRITE
