"""REST for an adapter's life: renaming, handing over, yanking, deprecating, restoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from marketplace import policy
from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.models import User
from marketplace.accounts.throttling import LetterThrottle
from marketplace.adapters import selectors, services, tombstones
from marketplace.adapters.life_serializers import (
    AcceptSerializer,
    DeletedSerializer,
    DeprecationSerializer,
    OfferSerializer,
    RenameSerializer,
    TransferSerializer,
    YankSerializer,
)
from marketplace.adapters.models import Adapter, Transfer, Version
from marketplace.adapters.serializers import AdapterDetailSerializer, VersionSerializer
from marketplace.adapters.transfer_selectors import get_offer, offers_of, waiting_offer
from marketplace.core.errors import NotFound
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema


def _user(request: Request) -> User:
    return cast(User, request.user)


def _checked(shape: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    body = shape(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _adapter(request: Request, owner: str, name: str) -> Adapter:
    return selectors.get_adapter(user=request.user, owner=owner, name=name)


def _detail(request: Request, adapter: Adapter) -> Response:
    return Response(AdapterDetailSerializer(adapter, context={"user": request.user}).data)


class _OfTheSignedIn(APIView):
    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]


class RenameView(_OfTheSignedIn):
    """Another name."""

    @extend_schema(operation_id="adapter_rename", request=RenameSerializer, responses=AdapterDetailSerializer)
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Rename the adapter. Its old address goes on answering, with the new name in the answer."""
        adapter = _adapter(request, owner, name)
        return _detail(
            request,
            services.rename_adapter(user=_user(request), adapter=adapter, **_checked(RenameSerializer, request)),
        )


class TransferView(_OfTheSignedIn):
    """The offer of one adapter."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [LetterThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(
        operation_id="adapter_offer",
        request=OfferSerializer,
        responses={status.HTTP_201_CREATED: TransferSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Offer the adapter to somebody, who accepts or declines."""
        adapter = _adapter(request, owner, name)
        offer = services.offer_transfer(user=_user(request), adapter=adapter, **_checked(OfferSerializer, request))
        return Response(TransferSerializer(offer).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="adapter_offer_withdraw", responses=TransferSerializer)
    def delete(self, request: Request, owner: str, name: str) -> Response:
        """Withdraw the offer that waits."""
        offer = waiting_offer(_adapter(request, owner, name))
        if offer is None or not policy.sent(request.user, offer):
            raise NotFound(f"No offer of {owner}/{name} of yours is waiting.")
        return Response(TransferSerializer(services.withdraw_transfer(user=_user(request), transfer=offer)).data)


class TransfersView(_OfTheSignedIn):
    """Offers between the asker and others."""

    @extend_schema(
        operation_id="transfers",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("TransferPage", TransferSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Offers to you and by you, newest first."""
        page = keyset_page(offers_of(request.user), order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda offer: TransferSerializer(offer).data))


class TransferAcceptView(_OfTheSignedIn):
    """Yes."""

    @extend_schema(operation_id="transfer_accept", request=AcceptSerializer, responses=AdapterDetailSerializer)
    def post(self, request: Request, transfer_id: int) -> Response:
        """Take the adapter over; it counts towards your storage from now on."""
        offer = get_offer(user=request.user, key=transfer_id)
        adapter = services.accept_transfer(user=_user(request), transfer=offer, **_checked(AcceptSerializer, request))
        return _detail(request, adapter)


class TransferDeclineView(_OfTheSignedIn):
    """No."""

    @extend_schema(operation_id="transfer_decline", request=None, responses=TransferSerializer)
    def post(self, request: Request, transfer_id: int) -> Response:
        """Decline the offer."""
        offer: Transfer = get_offer(user=request.user, key=transfer_id)
        return Response(TransferSerializer(services.decline_transfer(user=_user(request), transfer=offer)).data)


class _VersionStanding(_OfTheSignedIn):
    def act(
        self, request: Request, owner: str, name: str, commit: str, service: Callable[..., Version], **more: Any
    ) -> Response:
        adapter = _adapter(request, owner, name)
        version = selectors.get_version(adapter=adapter, revision=commit)
        version.adapter = adapter
        changed = service(user=_user(request), version=version, **more)
        return Response(VersionSerializer(changed, context={"user": request.user}).data)


class YankView(_VersionStanding):
    """Taking a version back."""

    @extend_schema(operation_id="version_yank", request=YankSerializer, responses=VersionSerializer)
    def put(self, request: Request, owner: str, name: str, commit: str) -> Response:
        """Yank the version: it is found by its commit alone, and the newest other one becomes current."""
        return self.act(request, owner, name, commit, services.yank_version, **_checked(YankSerializer, request))

    @extend_schema(operation_id="version_unyank", responses=VersionSerializer)
    def delete(self, request: Request, owner: str, name: str, commit: str) -> Response:
        """Offer the version again."""
        return self.act(request, owner, name, commit, services.unyank_version)


class DeprecationView(_VersionStanding):
    """Saying what to take instead."""

    @extend_schema(operation_id="version_deprecate", request=DeprecationSerializer, responses=VersionSerializer)
    def put(self, request: Request, owner: str, name: str, commit: str) -> Response:
        """Deprecate the version, with a message, a successor or both."""
        said = _checked(DeprecationSerializer, request)
        return self.act(request, owner, name, commit, services.deprecate_version, **said)

    @extend_schema(operation_id="version_undeprecate", responses=VersionSerializer)
    def delete(self, request: Request, owner: str, name: str, commit: str) -> Response:
        """Take the deprecation back."""
        return self.act(request, owner, name, commit, services.undeprecate_version)


class DeletedView(_OfTheSignedIn):
    """What can be brought back."""

    @extend_schema(
        operation_id="deleted",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("DeletedPage", DeletedSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Your adapters that you deleted and can still restore."""
        page = keyset_page(
            tombstones.recently_deleted(request.user), order=("-deleted_at", "-id"), **page_arguments(request)
        )
        return Response(page_body(request, page, lambda adapter: DeletedSerializer(adapter).data))


class PurgeView(_OfTheSignedIn):
    """Gone for good."""

    @extend_schema(operation_id="adapter_purge", request=None, responses={status.HTTP_204_NO_CONTENT: None})
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Give up the days in which a deleted adapter of yours could be restored. Its files go, and their room with
        them."""
        adapter = tombstones.get_tombstone(user=request.user, owner=owner, name=name)
        services.purge_adapter(user=_user(request), adapter=adapter)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RestoreView(_OfTheSignedIn):
    """Back again."""

    @extend_schema(operation_id="adapter_restore", request=None, responses=AdapterDetailSerializer)
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Restore a deleted adapter of yours with its versions and examples."""
        adapter = tombstones.get_tombstone(user=request.user, owner=owner, name=name)
        return _detail(request, services.restore_adapter(user=_user(request), adapter=adapter))
