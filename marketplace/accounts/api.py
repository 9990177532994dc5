"""REST of accounts: ``me/`` and ``tokens/``."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from marketplace import policy
from marketplace.accounts import selectors, services
from marketplace.accounts.authentication import ScopePermission, SignedIn, TokensComeFromSessions
from marketplace.accounts.export import export_account
from marketplace.accounts.models import Token, User
from marketplace.accounts.serializers import (
    ErrorSerializer,
    MeRequestSerializer,
    MeSerializer,
    NewTokenSerializer,
    TokenRequestSerializer,
    TokenSerializer,
)
from marketplace.accounts.throttling import AccountExportThrottle, TokenThrottle
from marketplace.adapters.uploads.quota import quota_of, stored_bytes
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema

FAULTS = {400: ErrorSerializer, 401: ErrorSerializer, 403: ErrorSerializer}


class MeView(APIView):
    """The account that the request speaks for."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]

    @extend_schema(operation_id="me", tags=["account"], responses={200: MeSerializer, 401: ErrorSerializer})
    def get(self, request: Request) -> Response:
        """Who the token or session belongs to, and how much of the quota is used."""
        return Response(_me(request))

    @extend_schema(
        operation_id="me_edit",
        tags=["account"],
        request=MeRequestSerializer,
        responses={200: MeSerializer, **FAULTS},
    )
    def patch(self, request: Request) -> Response:
        """Change the name that pages show beside the user name."""
        body = MeRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        services.edit_profile(user=cast(User, request.user), **body.validated_data)
        return Response(_me(request))


def _me(request: Request) -> dict[str, Any]:
    user = cast(User, request.user)
    return {
        "username": user.username,
        "display_name": user.display_name,
        "email": user.email,
        "is_moderator": policy.may_moderate(user),
        "scope": request.auth.scope if isinstance(request.auth, Token) else "session",
        "storage": {"used_bytes": stored_bytes(user), "quota_bytes": quota_of(user)},
    }


class ExportView(APIView):
    """Everything about the account."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]
    throttle_classes = [AccountExportThrottle]

    @extend_schema(
        operation_id="me_export",
        tags=["account"],
        parameters=[OpenApiParameter("files", bool, description="With the files of your adapters.")],
        responses={(200, "application/zip"): OpenApiTypes.BINARY, 401: ErrorSerializer, 429: ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """A zip of everything that is stored about you, streamed: JSON, cards, and with `files` all your files."""
        files = request.query_params.get("files", "").lower() in ("1", "true", "yes")
        return export_account(request._request, cast(User, request.user), files=files)


class TokenListView(APIView):
    """The asker's API tokens."""

    permission_classes: list[type[BasePermission]] = [SignedIn, TokensComeFromSessions, ScopePermission]

    def get_throttles(self) -> list[Any]:
        if self.request.method == "POST":
            return [TokenThrottle()]
        return [AnonRateThrottle(), UserRateThrottle()]

    @extend_schema(
        operation_id="tokens_list",
        tags=["account"],
        parameters=PAGE_PARAMETERS,
        responses={200: page_schema("TokenPage", TokenSerializer(many=True)), 401: ErrorSerializer},
    )
    def get(self, request: Request) -> Response:
        """Tokens that were not revoked, newest first, without their secrets."""
        tokens = selectors.tokens_of(cast(User, request.user))
        page = keyset_page(tokens, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda token: TokenSerializer(token).data))

    @extend_schema(
        operation_id="tokens_create",
        tags=["account"],
        request=TokenRequestSerializer,
        responses={201: NewTokenSerializer, **FAULTS, 409: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a token. Needs a signed-in session; the secret is in this answer and nowhere else afterwards."""
        body = TokenRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        token, secret = services.create_token(user=cast(User, request.user), **body.validated_data)
        answer = {**TokenSerializer(token).data, "secret": secret}
        return Response(answer, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


class TokenView(APIView):
    """One token."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]

    @extend_schema(
        operation_id="tokens_revoke",
        tags=["account"],
        request=None,
        responses={204: None, 401: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    def delete(self, request: Request, token_id: int) -> Response:
        """Revoke a token at once."""
        user = cast(User, request.user)
        services.revoke_token(user=user, token=selectors.get_token(user=user, token_id=token_id))
        return Response(status=status.HTTP_204_NO_CONTENT)
