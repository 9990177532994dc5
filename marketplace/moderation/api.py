"""REST of moderation: reporting an adapter, and the block list."""

from __future__ import annotations

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace import policy
from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.models import User
from marketplace.accounts.serializers import ErrorSerializer
from marketplace.accounts.throttling import ReportThrottle
from marketplace.adapters.selectors import get_adapter
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.moderation import blocking, services
from marketplace.moderation.selectors import listed_blocks
from marketplace.moderation.serializers import (
    BlockRequestSerializer,
    BlockSerializer,
    ReportRequestSerializer,
    ReportSerializer,
)


class ReportView(APIView):
    """Reports on one adapter."""

    #: Who finds something illegal need not have an account to say so.
    anonymous_writes = True
    throttle_classes = [ReportThrottle]

    @extend_schema(
        operation_id="adapters_report",
        tags=["adapters"],
        request=ReportRequestSerializer,
        responses={201: ReportSerializer, 400: ErrorSerializer, 404: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Tell the moderators that an adapter breaks a rule. Works without an account, under a stricter limit."""
        body = ReportRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        user = request.user if request.user.is_authenticated else None
        report = services.report_adapter(user=user, adapter=adapter, **body.validated_data)
        return Response(ReportSerializer(report).data, status=status.HTTP_201_CREATED)


class ForModerators(BasePermission):
    """Who may not moderate learns no more than that."""

    message = "Only moderators may see and change the block list."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return policy.may_moderate(request.user)


class BlocksView(APIView):
    """The block list."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission, ForModerators]

    @extend_schema(
        operation_id="blocks",
        tags=["moderation"],
        parameters=PAGE_PARAMETERS,
        responses={200: page_schema("BlockPage", BlockSerializer(many=True)), 403: ErrorSerializer},
    )
    def get(self, request: Request) -> Response:
        """Bytes that are refused, newest first. For moderators."""
        page = keyset_page(listed_blocks(), order=("-created_at", "sha256"), **page_arguments(request))
        return Response(page_body(request, page, lambda block: BlockSerializer(block).data))

    @extend_schema(
        operation_id="blocks_create",
        tags=["moderation"],
        request=BlockRequestSerializer,
        responses={201: BlockSerializer, 400: ErrorSerializer, 403: ErrorSerializer},
    )
    def post(self, request: Request) -> Response:
        """Refuse these bytes from now on; adapters that hold them go into quarantine, what is stored is deleted."""
        body = BlockRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        block = blocking.block_digest(moderator=cast(User, request.user), **body.validated_data)
        return Response(BlockSerializer(block).data, status=status.HTTP_201_CREATED)


class BlockView(APIView):
    """One entry of the block list."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission, ForModerators]

    @extend_schema(
        operation_id="blocks_delete",
        tags=["moderation"],
        request=None,
        responses={204: None, 403: ErrorSerializer, 404: ErrorSerializer},
    )
    def delete(self, request: Request, sha256: str) -> Response:
        """Let these bytes in again. Adapters that went into quarantine for them are restored one by one."""
        blocking.unblock_digest(moderator=cast(User, request.user), sha256=sha256)
        return Response(status=status.HTTP_204_NO_CONTENT)
