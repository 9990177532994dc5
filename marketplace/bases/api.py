"""REST for bases."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.bases import selectors, services
from marketplace.bases.serializers import BaseDetailSerializer, BaseSerializer, RegisterBaseSerializer
from marketplace.core.errors import NotAuthenticated
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema


class BasesView(APIView):
    """The bases that this site knows."""

    @extend_schema(
        operation_id="base_list",
        parameters=PAGE_PARAMETERS,
        responses=page_schema("BasePage", BaseSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """By name."""
        page = keyset_page(selectors.list_bases(), order=("name",), **page_arguments(request))
        return Response(page_body(request, page, lambda base: BaseSerializer(base).data))

    @extend_schema(
        operation_id="base_register",
        request=RegisterBaseSerializer,
        responses={status.HTTP_201_CREATED: BaseDetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Register a base (staff only). A worker reads its shapes; `state` is `ready` then."""
        if not request.user.is_authenticated:
            raise NotAuthenticated("Sign in to register a base.")
        serializer = RegisterBaseSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        parent = data.pop("parent")
        data["parent"] = selectors.get_base(name=parent) if parent else None
        base = services.register_base(actor=request.user, **data)
        return Response(BaseDetailSerializer(base).data, status=status.HTTP_201_CREATED)


class BaseView(APIView):
    """One base."""

    @extend_schema(operation_id="base_read", responses=BaseDetailSerializer)
    def get(self, request: Request, name: str) -> Response:
        return Response(BaseDetailSerializer(selectors.get_base(name=name)).data)
