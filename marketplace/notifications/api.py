"""REST for notifications."""

from __future__ import annotations

from typing import cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.models import User
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.notifications import selectors, services
from marketplace.notifications.serializers import (
    LettersSerializer,
    MarkedSerializer,
    MarkReadSerializer,
    NotificationSerializer,
)


def _user(request: Request) -> User:
    return cast(User, request.user)


class _OfTheSignedIn(APIView):
    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]


class NotificationsView(_OfTheSignedIn):
    """What you are told."""

    @extend_schema(
        operation_id="notifications",
        parameters=[OpenApiParameter("unread", bool, description="true leaves out what is read."), *PAGE_PARAMETERS],
        responses=page_schema("NotificationPage", NotificationSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        unread = request.query_params.get("unread", "").lower() in ("1", "true")
        found = selectors.notifications_of(_user(request), unread=unread)
        page = keyset_page(found, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda row: NotificationSerializer(row).data))


class MarkReadView(_OfTheSignedIn):
    """Reading them."""

    @extend_schema(operation_id="notifications_read", request=MarkReadSerializer, responses=MarkedSerializer)
    def post(self, request: Request) -> Response:
        """Mark some, or all, as read."""
        body = MarkReadSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        marked = services.mark_read(user=_user(request), keys=body.validated_data.get("ids"))
        return Response({"marked": marked, "unread": selectors.count_unread(_user(request))})


class LettersView(_OfTheSignedIn):
    """Which letters you get."""

    @extend_schema(operation_id="letters", responses=LettersSerializer)
    def get(self, request: Request) -> Response:
        """By kind, whether you get letters beside what stands on the site."""
        return Response(selectors.letters_of(_user(request)))

    @extend_schema(operation_id="letters_choose", request=LettersSerializer, responses=LettersSerializer)
    def patch(self, request: Request) -> Response:
        """Change the kinds that are named."""
        body = LettersSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(services.choose_letters(user=_user(request), wanted=body.validated_data))
