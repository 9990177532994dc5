"""REST of decisions: on an adapter, and on what was made from it with it."""

from __future__ import annotations

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.models import User
from marketplace.accounts.serializers import ErrorSerializer
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body
from marketplace.moderation import services
from marketplace.moderation.api import ForModerators
from marketplace.moderation.selectors import decidable_adapter, descendants_of
from marketplace.moderation.serializers import (
    DecisionRequestSerializer,
    DecisionsSerializer,
    DescendantPageSerializer,
    DescendantSerializer,
)

_REFUSED = {403: ErrorSerializer, 404: ErrorSerializer, 410: ErrorSerializer}


class DeciderOnAdapters(ForModerators):
    message = "Only moderators may decide on adapters."


class DescendantsView(APIView):
    """What was made from an adapter."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission, DeciderOnAdapters]

    @extend_schema(
        operation_id="moderation_descendants",
        tags=["moderation"],
        parameters=PAGE_PARAMETERS,
        responses={200: DescendantPageSerializer, **_REFUSED},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Merges and versions of others that go back to it, however indirectly; those that you do not see are counted.
        For moderators."""
        moderator = cast(User, request.user)
        adapter = decidable_adapter(moderator=moderator, owner=owner, name=name)
        found = descendants_of(moderator=moderator, adapter=adapter)
        page = keyset_page(found.seen, order=("pk",), **page_arguments(request))
        body = page_body(request, page, lambda row: DescendantSerializer(row).data)
        return Response({**body, "hidden": found.hidden, "waiting": found.waiting})


class DecisionsView(APIView):
    """Decisions on one adapter."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission, DeciderOnAdapters]

    @extend_schema(
        operation_id="moderation_decide",
        tags=["moderation"],
        request=DecisionRequestSerializer,
        responses={201: DecisionsSerializer, 400: ErrorSerializer, 409: ErrorSerializer, **_REFUSED},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Quarantine, restore or remove it, or dismiss its reports. A quarantine with ``descendants`` takes everything
        that was made from it along, in one transaction: all or none. Each gets its own decision and audit entry, and
        its owner is told. For moderators."""
        body = DecisionRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = {"moderator": cast(User, request.user), "reason": body.validated_data["reason"]}
        adapter = decidable_adapter(moderator=asked["moderator"], owner=owner, name=name)
        if body.validated_data["descendants"]:
            made = services.quarantine_with_descendants(adapter=adapter, **asked)
        else:
            made = [services.decide(adapter=adapter, action=body.validated_data["action"], **asked)]
        # Moderators see whatever a decision was taken on, so all of them have names here.
        return Response(DecisionsSerializer({"decisions": made}).data, status=status.HTTP_201_CREATED)
