"""REST for files: downloads one by one and as a zip."""

from __future__ import annotations

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from marketplace.adapters import downloads

_REVISION = OpenApiParameter(
    "revision", str, OpenApiParameter.PATH, description="`main`, a commit, or at least 7 of its digits."
)


class FileView(APIView):
    """One file of a revision."""

    @extend_schema(
        operation_id="adapter_file",
        parameters=[_REVISION, OpenApiParameter("path", str, OpenApiParameter.PATH)],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, owner: str, name: str, revision: str, path: str) -> HttpResponseBase:
        """The bytes. `ETag`, `If-None-Match`, `HEAD` and one `Range` are understood."""
        return downloads.file_response(request._request, request.user, owner, name, revision, path)

    @extend_schema(exclude=True)
    def head(self, request: Request, owner: str, name: str, revision: str, path: str) -> HttpResponseBase:
        return downloads.file_response(request._request, request.user, owner, name, revision, path)


class ArchiveView(APIView):
    """All files of a revision."""

    @extend_schema(
        operation_id="adapter_archive",
        parameters=[_REVISION],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, owner: str, name: str, revision: str) -> HttpResponseBase:
        """A zip, streamed."""
        return downloads.zip_response(request._request, request.user, owner, name, revision)

    @extend_schema(exclude=True)
    def head(self, request: Request, owner: str, name: str, revision: str) -> HttpResponseBase:
        return downloads.zip_response(request._request, request.user, owner, name, revision)
