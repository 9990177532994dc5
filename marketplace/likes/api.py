"""REST for likes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.adapters.selectors import get_adapter
from marketplace.likes import services


class LikeSerializer(serializers.Serializer[Any]):
    adapter = serializers.CharField()
    liked = serializers.BooleanField(help_text="By you.")
    likes = serializers.IntegerField(help_text="By how many.")


class LikeView(APIView):
    """Whether you like an adapter."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]

    @extend_schema(operation_id="adapter_like", request=None, responses=LikeSerializer)
    def put(self, request: Request, owner: str, name: str) -> Response:
        """Like it. Twice is no fault."""
        return self._set(request, owner, name, True)

    @extend_schema(operation_id="adapter_unlike", responses=LikeSerializer)
    def delete(self, request: Request, owner: str, name: str) -> Response:
        """Take that back."""
        return self._set(request, owner, name, False)

    def _set(self, request: Request, owner: str, name: str, likes: bool) -> Response:
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        adapter = services.set_like(user=request.user, adapter=adapter, likes=likes)
        answer = {"adapter": adapter.full_name, "liked": likes, "likes": adapter.likes}
        return Response(LikeSerializer(answer).data)
