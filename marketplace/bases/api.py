"""REST for bases."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.models import User
from marketplace.bases import selectors, services
from marketplace.bases.aliases import add_alias, remove_alias
from marketplace.bases.recognition import recognise
from marketplace.bases.serializers import (
    AliasSerializer,
    BaseDetailSerializer,
    BaseJobSerializer,
    BaseSerializer,
    ChangeBaseSerializer,
    MeaningSerializer,
    RegisterBaseSerializer,
)
from marketplace.core.errors import Invalid, NotAuthenticated
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
        actor = _signed_in(request)
        serializer = RegisterBaseSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        parent = data.pop("parent")
        data["parent"] = selectors.get_base(name=parent) if parent else None
        base = services.register_base(actor=actor, **data)
        return Response(BaseDetailSerializer(base).data, status=status.HTTP_201_CREATED)


class BaseView(APIView):
    """One base. Everybody reads; staff writes."""

    @extend_schema(operation_id="base_read", responses=BaseDetailSerializer)
    def get(self, request: Request, name: str) -> Response:
        return Response(BaseDetailSerializer(selectors.get_base(name=name)).data)

    @extend_schema(operation_id="base_change", request=ChangeBaseSerializer, responses=BaseDetailSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change licence, parent, or whether it is served (staff only)."""
        actor = _signed_in(request)
        serializer = ChangeBaseSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        parent = data.pop("parent", None)
        services.change_base(
            actor=actor,
            base=selectors.get_base(name=name),
            parent=selectors.get_base(name=parent) if parent else None,
            orphan=parent == "",
            **data,
        )
        return Response(BaseDetailSerializer(selectors.get_base(name=name)).data)

    @extend_schema(operation_id="base_delete", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, name: str) -> Response:
        """Take a base away that no adapter and no other base refers to (staff only)."""
        services.delete_base(actor=_signed_in(request), base=selectors.get_base(name=name))
        return Response(status=status.HTTP_204_NO_CONTENT)


class BaseAliasesView(APIView):
    """Other names for a base."""

    @extend_schema(operation_id="base_alias_add", request=AliasSerializer, responses=BaseSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Configs that use this name mean the base from now on (staff only); adapters that wait for it are linked."""
        actor = _signed_in(request)
        serializer = AliasSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        add_alias(actor=actor, base=selectors.get_base(name=name), alias=serializer.validated_data["alias"])
        return Response(BaseSerializer(selectors.get_base(name=name)).data)


class BaseAliasView(APIView):
    """One other name."""

    @extend_schema(operation_id="base_alias_remove", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, name: str, alias: str) -> Response:
        """Configs that use this name no longer mean the base (staff only). Linked adapters stay as they are."""
        remove_alias(actor=_signed_in(request), base=selectors.get_base(name=name), alias=alias)
        return Response(status=status.HTTP_204_NO_CONTENT)


class BaseReadingView(APIView):
    """Reading a base once more."""

    @extend_schema(operation_id="base_reread", request=None, responses={status.HTTP_202_ACCEPTED: BaseJobSerializer})
    def post(self, request: Request, name: str) -> Response:
        """After it could not be read, or when its files have changed (staff only). Follow the job."""
        job = services.reread_base(actor=_signed_in(request), base=selectors.get_base(name=name))
        return Response({"job": str(job.pk)}, status=status.HTTP_202_ACCEPTED)


class BaseNamesView(APIView):
    """What names mean."""

    @extend_schema(
        operation_id="base_recognise",
        parameters=[OpenApiParameter("name", str, required=True, description="As a config or a card writes it.")],
        responses=MeaningSerializer,
    )
    def get(self, request: Request) -> Response:
        """The base that a config means by a name: a hub's id, a re-upload, a path."""
        name = request.query_params.get("name", "").strip()
        if not name:
            sentence = "Give the name that a config uses."
            raise Invalid(f"name: {sentence}", extra={"fields": {"name": [sentence]}})
        found = recognise(name)
        meaning = {
            "base": found.base.name if found.base else None,
            "canonical": found.canonical,
            "certain": found.certain,
        }
        return Response(MeaningSerializer(meaning).data)


def _signed_in(request: Request) -> User:
    if not request.user.is_authenticated:
        raise NotAuthenticated("Sign in to change bases.")
    return request.user
