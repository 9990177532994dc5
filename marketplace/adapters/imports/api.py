"""REST for imports."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.throttling import ImportThrottle
from marketplace.adapters.imports.services import start_import
from marketplace.adapters.imports.sources import MAX_SOURCE
from marketplace.jobs.serializers import JobSerializer


class ImportCreateSerializer(serializers.Serializer[Any]):
    source = serializers.CharField(
        max_length=MAX_SOURCE,
        help_text="`owner/name` or `owner/name@revision` of the hub, a page of it, or an https address of a zip or of "
        "weights with `adapter_config.json` beside them.",
    )
    idempotency_key = serializers.CharField(max_length=100, required=False, allow_null=True, default=None)


class ImportsView(APIView):
    """Adapters from a hub or an address."""

    throttle_classes = [ImportThrottle]

    @extend_schema(
        operation_id="import_create",
        request=ImportCreateSerializer,
        responses={status.HTTP_202_ACCEPTED: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Start an import: the answer is its job, whose `result.upload` names the upload to be published."""
        serializer = ImportCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        job = start_import(user=request.user, **serializer.validated_data)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)
