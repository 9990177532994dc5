"""REST for uploads."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from marketplace.adapters import selectors, services
from marketplace.adapters.models import Upload
from marketplace.adapters.serializers import PartsSerializer, UploadCreateSerializer, UploadSerializer
from marketplace.adapters.uploads.handler import received_files, receiving
from marketplace.core.errors import AppError
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.core.parsers import BoundedJSONParser


class UploadsView(APIView):
    """Uploads of yours."""

    parser_classes = [MultiPartParser, BoundedJSONParser]
    throttle_scope = "upload"

    def get_throttles(self) -> list[Any]:
        throttles = super().get_throttles()
        return [*throttles, ScopedRateThrottle()] if self.request.method == "POST" else throttles

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            # The handler has to be there before the CSRF check reads the form.
            with receiving(request):
                return super().dispatch(request, *args, **kwargs)
        except AppError as error:
            return JsonResponse(error.envelope(), status=error.status)

    @extend_schema(
        operation_id="upload_list",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("UploadPage", UploadSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        uploads = selectors.uploads_of(request.user)
        page = keyset_page(uploads, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda upload: UploadSerializer(upload).data))

    @extend_schema(
        operation_id="upload_create",
        request={"multipart/form-data": UploadCreateSerializer, "application/json": PartsSerializer},
        responses={status.HTTP_201_CREATED: UploadSerializer},
    )
    def post(self, request: Request) -> Response:
        """Upload the files of one adapter, or one zip of them; or make an upload of `parts` that arrived by tus.

        `state` is `refused` with `problems` when the files cannot be an adapter; nothing is stored then. Else a worker
        checks them: read the upload again until `artifact.state` is `valid` or `invalid`.
        """
        content_type = (request.content_type or "").partition(";")[0].strip().lower()
        if content_type == "application/json":
            wish = PartsSerializer(data=request.data)
            wish.is_valid(raise_exception=True)
            upload = services.create_upload_from_parts(user=request.user, parts=wish.validated_data["parts"])
        elif content_type == "multipart/form-data":
            upload = services.create_upload(user=request.user, files=received_files(request._request))
        else:
            raise UnsupportedMediaType(
                request.content_type or "", "Send the files as multipart/form-data, or JSON with “parts”."
            )
        return Response(UploadSerializer(upload).data, status=status.HTTP_201_CREATED)


class UploadView(APIView):
    """One upload of yours."""

    @extend_schema(operation_id="upload_read", responses=UploadSerializer)
    def get(self, request: Request, upload_id: str) -> Response:
        return Response(UploadSerializer(selectors.get_upload(user=request.user, upload_id=upload_id)).data)

    @extend_schema(operation_id="upload_discard", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, upload_id: str) -> Response:
        """Give it up; its bytes no longer count against your quota."""
        upload = selectors.get_upload(user=request.user, upload_id=upload_id)
        services.discard_upload(user=request.user, upload=upload)
        return Response(status=status.HTTP_204_NO_CONTENT)


class UploadCheckView(APIView):
    """Check an upload again."""

    @extend_schema(operation_id="upload_check", request=None, responses=UploadSerializer)
    def post(self, request: Request, upload_id: str) -> Response:
        """For a check that could not be finished."""
        upload: Upload = selectors.get_upload(user=request.user, upload_id=upload_id)
        services.recheck_upload(user=request.user, upload=upload)
        return Response(UploadSerializer(selectors.get_upload(user=request.user, upload_id=upload_id)).data)
