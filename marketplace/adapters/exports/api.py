"""REST for exports."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference_worker.contracts.export import FORMATS, SHARD_BYTES, ExportDtype
from marketplace.accounts.throttling import ExportThrottle
from marketplace.adapters import selectors as adapters
from marketplace.adapters.exports import downloads, selectors, services
from marketplace.core.errors import NotAuthenticated
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.jobs.models import Job
from marketplace.jobs.serializers import JobSerializer

_DTYPES = list(ExportDtype.__args__)  # type: ignore[attr-defined]


class ExportCreateSerializer(serializers.Serializer[Any]):
    format = serializers.ChoiceField(choices=list(FORMATS))
    revision = serializers.CharField(max_length=40, default="main")
    dtype = serializers.ChoiceField(
        choices=_DTYPES, default="same", help_text="`same` keeps the base's type (merged) or loses nothing (gguf)."
    )
    shard_bytes = serializers.IntegerField(
        min_value=services.MIN_SHARD,
        max_value=services.MAX_SHARD,
        default=SHARD_BYTES,
        help_text="Merged models alone.",
    )


class ExportFileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class ExportSerializer(serializers.Serializer[Any]):
    """An export whose files are kept, or that is under way."""

    id = serializers.UUIDField()
    adapter = serializers.CharField()
    format = serializers.CharField()
    dtype = serializers.CharField()
    state = serializers.ChoiceField(choices=Job.State.choices)
    size = serializers.IntegerField(allow_null=True, help_text="Bytes of all files; null until they are there.")
    files = ExportFileSerializer(many=True)
    created_at = serializers.DateTimeField()
    kept_until = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Job) -> dict[str, Any]:
        done = instance.state == Job.State.SUCCEEDED
        result = selectors.result_of(instance) if done else None
        until = selectors.kept_until(instance) if done else None
        return {
            "id": str(instance.pk),
            "adapter": selectors.adapter_name(instance),
            "format": instance.subject["format"],
            "dtype": instance.subject["dtype"],
            "state": instance.state,
            "size": result.size if result else None,
            "files": [ExportFileSerializer(file).data for file in result.files] if result else [],
            "created_at": instance.created_at.isoformat(),
            "kept_until": until.isoformat() if until else None,
        }


class AdapterExportsView(APIView):
    """Exports of one adapter."""

    throttle_classes = [ExportThrottle]

    @extend_schema(
        operation_id="export_create",
        request=ExportCreateSerializer,
        responses={status.HTTP_202_ACCEPTED: JobSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Start an export: the answer is its job. The same export that is under way or still kept is not made twice."""
        serializer = ExportCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        adapter = adapters.get_adapter(user=request.user, owner=owner, name=name)
        job = services.create_export(user=request.user, adapter=adapter, **serializer.validated_data)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class ExportsView(APIView):
    """Exports of yours."""

    @extend_schema(
        operation_id="export_list",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("ExportPage", ExportSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Those under way and those whose files are kept, newest first."""
        if not request.user.is_authenticated:
            raise NotAuthenticated("Sign in to see your exports.")
        page = keyset_page(selectors.exports_of(request.user), order=("-created_at", "-id"), **page_arguments(request))
        selectors.with_names_of_today(request.user, page.items)
        return Response(page_body(request, page, lambda job: ExportSerializer(job).data))


class ExportView(APIView):
    """One export of yours."""

    @extend_schema(operation_id="export_read", responses=ExportSerializer)
    def get(self, request: Request, export_id: str) -> Response:
        job = selectors.get_export(user=request.user, export_id=export_id)
        return Response(ExportSerializer(selectors.with_names_of_today(request.user, [job])[0]).data)

    @extend_schema(operation_id="export_discard", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, export_id: str) -> Response:
        """Give its files up; the room is free at once."""
        job = selectors.get_export(user=request.user, export_id=export_id)
        services.discard_export(user=request.user, job=job)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ExportArchiveView(APIView):
    """All files of an export."""

    @extend_schema(operation_id="export_archive", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, export_id: str) -> HttpResponseBase:
        """A zip without compression. `ETag`, `If-None-Match`, `HEAD` and one `Range` are understood, as for files."""
        return downloads.export_archive(request._request, request.user, export_id)

    @extend_schema(exclude=True)
    def head(self, request: Request, export_id: str) -> HttpResponseBase:
        return downloads.export_archive(request._request, request.user, export_id)


class ExportFileView(APIView):
    """One file of an export."""

    @extend_schema(
        operation_id="export_file",
        parameters=[OpenApiParameter("path", str, OpenApiParameter.PATH)],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, export_id: str, path: str) -> HttpResponseBase:
        """The bytes. `ETag`, `If-None-Match`, `HEAD` and one `Range` are understood, so a broken download goes on."""
        return downloads.export_file(request._request, request.user, export_id, path)

    @extend_schema(exclude=True)
    def head(self, request: Request, export_id: str, path: str) -> HttpResponseBase:
        return downloads.export_file(request._request, request.user, export_id, path)
