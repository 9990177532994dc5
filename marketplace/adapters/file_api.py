"""REST for files: downloads one by one and as a zip."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from marketplace.adapters import downloads

_REVISION = OpenApiParameter(
    "revision", str, OpenApiParameter.PATH, description="`main`, a commit, or at least 7 of its digits."
)


class AnyContent(BaseContentNegotiation):
    """A file is what it is, whatever the sender accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0] if parsers else None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class FileView(APIView):
    """One file of a revision."""

    content_negotiation_class = AnyContent

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

    content_negotiation_class = AnyContent

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
