"""REST for what one watches."""

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
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.regressions import naming, selectors, services
from marketplace.regressions.serializers import WatchCreateSerializer, WatchDetailSerializer, WatchSerializer


def _user(request: Request) -> User:
    return cast(User, request.user)


class _OfTheSignedIn(APIView):
    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]


class WatchesView(_OfTheSignedIn):
    """What is evaluated regularly for you."""

    @extend_schema(
        operation_id="watches",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("WatchPage", WatchSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        found = selectors.watches_of(request.user)
        page = keyset_page(found, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda row: WatchSerializer(row).data))

    @extend_schema(
        operation_id="watch_create",
        request=WatchCreateSerializer,
        responses={status.HTTP_201_CREATED: WatchSerializer},
    )
    def post(self, request: Request) -> Response:
        """Have an adapter or a mix evaluated daily or weekly, and when its base or the engine changes. What is watched
        already changes how often."""
        body = WatchCreateSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        subject = naming.find_subject(user=_user(request), full_name=body.validated_data["subject"])
        row = services.watch(user=_user(request), subject=subject, every=body.validated_data["every"])
        return Response(WatchSerializer(row).data, status=status.HTTP_201_CREATED)


class WatchView(_OfTheSignedIn):
    """One of them."""

    @extend_schema(operation_id="watch", responses=WatchDetailSerializer)
    def get(self, request: Request, watch_id: int) -> Response:
        """What came out each time, newest first."""
        return Response(WatchDetailSerializer(selectors.get_watch(user=request.user, key=watch_id)).data)

    @extend_schema(operation_id="watch_reference", request=None, responses=WatchDetailSerializer)
    def post(self, request: Request, watch_id: int) -> Response:
        """Hold later results against the newest ones: what has changed since is known and meant."""
        found = selectors.get_watch(user=request.user, key=watch_id)
        services.take_reference(user=_user(request), row=found)
        return self.get(request, watch_id)

    @extend_schema(operation_id="watch_delete", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, watch_id: int) -> Response:
        """Stop evaluating it for you."""
        services.unwatch(user=_user(request), row=selectors.get_watch(user=request.user, key=watch_id))
        return Response(status=status.HTTP_204_NO_CONTENT)
