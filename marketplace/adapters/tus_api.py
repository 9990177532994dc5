"""tus at ``/api/v1/uploads/tus/``: files that arrive in pieces. ``uploads/tus.py`` has the protocol's words."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle, ScopedRateThrottle
from rest_framework.views import APIView

from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.adapters import services
from marketplace.adapters.models import PartialUpload
from marketplace.adapters.serializers import PartialUploadSerializer
from marketplace.adapters.services import partial_uploads as partials
from marketplace.adapters.uploads import tus
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema

_PIECE = {tus.CONTENT_TYPE: OpenApiTypes.BINARY}


def _header(name: str, kind: type, required: bool = True, description: str = "") -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, required=required, description=description)


_VERSION = _header("Tus-Resumable", str, description=tus.VERSION)


class UnreadBody(BaseParser):
    """Leaves the body to the view; what checks the session looks for form fields, and finds none."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


class TusView(APIView):
    """What both addresses have in common: the version is agreed on, and every answer carries it."""

    parser_classes = [UnreadBody]
    permission_classes = [SignedIn, ScopePermission]
    throttle_scope = "partial_upload"

    def get_throttles(self) -> list[BaseThrottle]:
        # A file may come in many small pieces, so these have a rate of their own instead of everybody's.
        return [ScopedRateThrottle()] if self.request.method not in SAFE_METHODS else super().get_throttles()

    def get_permissions(self) -> list[Any]:
        return [] if self.request.method == "OPTIONS" else list(super().get_permissions())

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Lists are for programs that speak no tus.
        if request.method not in ("OPTIONS", "GET"):
            tus.check_version(request.headers)
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = tus.VERSION
        if response.status_code == tus.UnknownVersion.status:
            response["Tus-Version"] = tus.VERSION
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @extend_schema(exclude=True)
    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        headers = {
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
            "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
            "Allow": ", ".join(self.allowed_methods),
        }
        return Response(status=status.HTTP_204_NO_CONTENT, headers=headers)


class PartialUploadsView(TusView):
    """Files of yours that arrive in pieces."""

    @extend_schema(
        operation_id="partial_upload_list",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("PartialUploadPage", PartialUploadSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Those that are not part of an upload yet, newest first."""
        rows = partials.open_partial_uploads(user=request.user)
        page = keyset_page(rows, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda row: PartialUploadSerializer(row).data))

    @extend_schema(
        operation_id="partial_upload_create",
        parameters=[
            _VERSION,
            _header("Upload-Length", int, description="Of the whole file, in bytes."),
            _header("Upload-Metadata", str, description="`filename` (needed), `group`, `fingerprint`, `sha256`."),
        ],
        request=_PIECE,
        responses={status.HTTP_201_CREATED: None},
    )
    def post(self, request: Request) -> Response:
        """Announce a file (tus, creation). Bytes may come along (creation-with-upload).

        The address of the file is in `Location`. Its length counts against your quota from now on.
        """
        length = tus.number(request.headers, "Upload-Length")
        metadata = tus.parse_metadata(request.headers.get("Upload-Metadata", ""))
        with_bytes = (request.content_type or "").startswith(tus.CONTENT_TYPE)
        row = partials.begin_partial_upload(user=request.user, length=length, metadata=metadata)
        headers = {"Location": reverse("api-partial-upload", args=[row.pk])}
        if with_bytes and length:
            row, fault = _first_piece(request, row)
            # The file is there even when its first bytes were at fault; asking for the offset tells where to go on.
            headers["Upload-Offset"] = str(partials.arrived(row) if fault else row.offset)
        return Response(status=status.HTTP_201_CREATED, headers={**headers, **_expires(row)})


def _first_piece(request: Request, row: PartialUpload) -> tuple[PartialUpload, bool]:
    try:
        body = _body(request)
        checksum = tus.parse_checksum(request.headers.get("Upload-Checksum", ""))
        return partials.receive_piece(user=request.user, part=row.pk, offset=0, body=body, checksum=checksum), False
    except (tus.TooSlow, tus.Mismatch):
        return row, True


class PartialUploadView(TusView):
    """One file of yours that arrives in pieces."""

    def get_throttles(self) -> list[BaseThrottle]:
        self.throttle_scope = "piece"
        return [ScopedRateThrottle()]

    def head(self, request: Request, part_id: uuid.UUID) -> Response:
        row = partials.own_partial_upload(user=request.user, part=part_id)
        headers = {"Upload-Offset": str(partials.arrived(row)), "Upload-Length": str(row.length), **_expires(row)}
        if row.metadata:
            headers["Upload-Metadata"] = row.metadata
        return Response(status=status.HTTP_200_OK, headers=headers)

    @extend_schema(
        operation_id="partial_upload_piece",
        parameters=[
            _VERSION,
            _header("Upload-Offset", int, description="Where the bytes begin: what `HEAD` answers."),
            _header("Upload-Checksum", str, required=False, description="`sha256 …` or `sha1 …`, in Base64."),
        ],
        request=_PIECE,
        responses={status.HTTP_204_NO_CONTENT: None},
    )
    def patch(self, request: Request, part_id: uuid.UUID) -> Response:
        """Send the bytes from `Upload-Offset` on; how many arrived is kept whatever happens on the way.

        `HEAD` of the same address answers with `Upload-Offset` and `Upload-Length`.
        """
        tus.check_content_type(request.content_type or "")
        row = partials.receive_piece(
            user=request.user,
            part=part_id,
            offset=tus.number(request.headers, "Upload-Offset"),
            body=_body(request),
            checksum=tus.parse_checksum(request.headers.get("Upload-Checksum", "")),
        )
        return Response(status=status.HTTP_204_NO_CONTENT, headers={"Upload-Offset": str(row.offset), **_expires(row)})

    @extend_schema(
        operation_id="partial_upload_discard",
        parameters=[_VERSION],
        responses={status.HTTP_204_NO_CONTENT: None},
    )
    def delete(self, request: Request, part_id: uuid.UUID) -> Response:
        """Give it up (tus, termination); its bytes are deleted."""
        services.discard_partial_uploads(user=request.user, parts=[part_id])
        return Response(status=status.HTTP_204_NO_CONTENT)


def _body(request: Request) -> HttpRequest:
    """The request as a file that is read while it arrives."""
    return request._request


def _expires(row: PartialUpload) -> dict[str, str]:
    return {"Upload-Expires": http_date(row.expires_at.timestamp())}
