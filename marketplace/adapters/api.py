"""REST for adapters and their versions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.adapters import selectors, services
from marketplace.adapters.models import Adapter
from marketplace.adapters.serializers import (
    AdapterDetailSerializer,
    AdapterSerializer,
    EditSerializer,
    NewVersionSerializer,
    PublishSerializer,
    SearchPageSerializer,
    SimilarSerializer,
    VersionSerializer,
)
from marketplace.catalog.selectors import search
from marketplace.catalog.types import SORTS, VERDICTS, CatalogFilters, SearchPage
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, next_url, page_arguments, page_body, page_schema

_FILTERS = [
    OpenApiParameter("q", str, description="Words or a sentence; found by meaning and by words."),
    OpenApiParameter("base", str, description="A base's name."),
    OpenApiParameter("tag", str, many=True, description="All of them must be there."),
    OpenApiParameter("owner", str),
    OpenApiParameter("license", str),
    OpenApiParameter("origin", str, enum=Adapter.Origin.values),
    OpenApiParameter("verdict", str, enum=VERDICTS, description="What was measured of it."),
    OpenApiParameter("rank_min", int),
    OpenApiParameter("rank_max", int),
    OpenApiParameter("sort", str, enum=SORTS, description="Order without `q`."),
    *PAGE_PARAMETERS,
]


def _detail(request: Request, adapter: Adapter) -> dict[str, Any]:
    return dict(AdapterDetailSerializer(adapter, context={"user": request.user}).data)


def _search_body(request: Request, page: SearchPage) -> dict[str, Any]:
    results = []
    for hit in page.results:
        row = dict(AdapterSerializer(hit.adapter).data)
        results.append({**row, "why": list(hit.why), "similarity": hit.similarity})
    return {
        "results": results,
        "next": next_url(request, page.next_cursor or None),
        "mode": page.mode,
        "note": page.note,
        "total": page.total,
        "facets": {
            name: [{"value": facet.value, "count": facet.count} for facet in facets]
            for name, facets in page.facets.items()
        },
    }


class AdaptersView(APIView):
    """The catalogue, and publishing."""

    @extend_schema(operation_id="adapter_search", parameters=_FILTERS, responses=SearchPageSerializer)
    def get(self, request: Request) -> Response:
        """Search by meaning and words, or browse what you may see."""
        page = search(
            user=request.user,
            query=request.query_params.get("q", ""),
            filters=CatalogFilters.from_params(request.query_params),
            cursor=request.query_params.get("cursor", ""),
        )
        return Response(_search_body(request, page))

    @extend_schema(
        operation_id="adapter_publish",
        request=PublishSerializer,
        responses={status.HTTP_201_CREATED: AdapterDetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Publish an upload under a name of yours. Others see it once its check is passed."""
        serializer = PublishSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        upload = selectors.get_upload(user=request.user, upload_id=data.pop("upload"))
        adapter = services.publish_upload(user=request.user, upload=upload, **data)
        return Response(_detail(request, adapter), status=status.HTTP_201_CREATED)


class AdapterView(APIView):
    """One adapter."""

    @extend_schema(operation_id="adapter_read", responses=AdapterDetailSerializer)
    def get(self, request: Request, owner: str, name: str) -> Response:
        return Response(_detail(request, selectors.get_adapter(user=request.user, owner=owner, name=name)))

    @extend_schema(operation_id="adapter_edit", request=EditSerializer, responses=AdapterDetailSerializer)
    def patch(self, request: Request, owner: str, name: str) -> Response:
        """Change the card, the examples or the visibility. A changed card is a new commit."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        serializer = EditSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        edited = services.edit_adapter(user=request.user, adapter=adapter, **serializer.validated_data)
        return Response(_detail(request, edited))

    @extend_schema(operation_id="adapter_delete", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, owner: str, name: str) -> Response:
        """Delete the adapter. Its name is not given out again."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        services.delete_adapter(user=request.user, adapter=adapter)
        return Response(status=status.HTTP_204_NO_CONTENT)


class VersionsView(APIView):
    """The commits of an adapter."""

    @extend_schema(
        operation_id="adapter_versions",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("VersionPage", VersionSerializer(many=True)),
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Newest first."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        versions = selectors.versions_of(user=request.user, adapter=adapter)
        context = {"user": request.user}
        page = keyset_page(versions, order=("-created_at", "-id"), **page_arguments(request))
        return Response(page_body(request, page, lambda version: VersionSerializer(version, context=context).data))

    @extend_schema(
        operation_id="adapter_version_create",
        request=NewVersionSerializer,
        responses={status.HTTP_201_CREATED: AdapterDetailSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Publish an upload as the next version."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        serializer = NewVersionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        upload = selectors.get_upload(user=request.user, upload_id=serializer.validated_data["upload"])
        updated = services.publish_upload(
            user=request.user, upload=upload, adapter=adapter, message=serializer.validated_data["message"]
        )
        return Response(_detail(request, updated), status=status.HTTP_201_CREATED)


class SimilarView(APIView):
    """What is like an adapter."""

    @extend_schema(
        operation_id="adapter_similar",
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT, description="1 to 100; 24 unless told.")],
        responses=SimilarSerializer(many=True),
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Near-duplicates by weights first, then the nearest in meaning."""
        adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        limit = page_arguments(request)["limit"]
        found = selectors.similar_adapters(user=request.user, adapter=adapter, limit=limit)
        return Response(SimilarSerializer(found, many=True).data)
