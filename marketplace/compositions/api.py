"""REST for merges."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.throttling import MergeThrottle
from marketplace.adapters.models import Adapter
from marketplace.compositions import services
from marketplace.compositions.members import find_adapter
from marketplace.compositions.pairs.serializers import FitSerializer
from marketplace.compositions.pairs.services import judge_members
from marketplace.compositions.serializers import (
    CheckRequestSerializer,
    MergeCreateSerializer,
    MergeMethodSerializer,
)
from marketplace.jobs.serializers import JobSerializer


def _members(request: Request, rows: list[dict[str, Any]]) -> list[tuple[Adapter, float]]:
    return [(find_adapter(user=request.user, full_name=row["adapter"]), row["weight"]) for row in rows]


def settings_of(request: Request, data: dict[str, Any]) -> dict[str, Any]:
    """A body's members as the services take them."""
    rows = data["members"]
    groups = [row.get("layer_weights", []) for row in rows]
    return {**data, "members": _members(request, rows), "layer_weights": groups}


class MergeMethodsView(APIView):
    """The merge methods with their options."""

    @extend_schema(operation_id="merge_methods", responses=MergeMethodSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response([info.describe() for info in METHODS.values()])


class MergeCheckView(APIView):
    """Whether a set of adapters can be merged, by what, how they fit as far as that is measured, and under which
    licence. Changes nothing."""

    throttle_classes = [MergeThrottle]
    anonymous_writes = True  # it only reads; the body is too long for an address

    @extend_schema(operation_id="merge_check", request=CheckRequestSerializer, responses=FitSerializer)
    def post(self, request: Request) -> Response:
        serializer = CheckRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        members = _members(request, serializer.validated_data["members"])
        return Response(FitSerializer(judge_members(user=request.user, members=members)).data)


class MergesView(APIView):
    """Start a merge: the answer is its job, whose result names the new private adapter."""

    throttle_classes = [MergeThrottle]

    @extend_schema(
        operation_id="merge_create", request=MergeCreateSerializer, responses={status.HTTP_202_ACCEPTED: JobSerializer}
    )
    def post(self, request: Request) -> Response:
        serializer = MergeCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        job = services.create_merge(user=request.user, **settings_of(request, dict(serializer.validated_data)))
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)
