"""REST for evaluations and suites."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from marketplace.accounts.authentication import ScopePermission, SignedIn
from marketplace.accounts.throttling import EvaluateThrottle
from marketplace.adapters.selectors import get_adapter
from marketplace.bases.selectors import get_base
from marketplace.core.pagination import PAGE_PARAMETERS, keyset_page, page_arguments, page_body, page_schema
from marketplace.evaluations import hiding, selectors, suite_services
from marketplace.evaluations.asking import ask_for_evaluation
from marketplace.evaluations.reports import report_of, results_of
from marketplace.evaluations.serializers import (
    EvaluateSerializer,
    EvaluationsSerializer,
    RequestedSerializer,
    SuiteCreateSerializer,
    SuiteEditSerializer,
    SuiteSerializer,
)


class AdapterEvaluationsView(APIView):
    """What was measured of one adapter."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [EvaluateThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(operation_id="evaluation_list", responses=EvaluationsSerializer)
    def get(self, request: Request, owner: str, name: str) -> Response:
        """Verdicts, and its newest results beside the bare base, with intervals."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        return Response(EvaluationsSerializer(report_of(request.user, adapter)).data)

    @extend_schema(
        operation_id="evaluation_create",
        request=EvaluateSerializer,
        responses={status.HTTP_202_ACCEPTED: RequestedSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Run it on a suite. Without one it is run again on what every adapter is run on, which is for those who may
        change it."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        serializer = EvaluateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        runs = ask_for_evaluation(user=request.user, adapter=adapter, suite_id=data["suite"], again=data["again"])
        answer = RequestedSerializer({"evaluations": results_of(request.user, adapter, runs)})
        return Response(answer.data, status=status.HTTP_202_ACCEPTED)


class HiddenResultView(APIView):
    """Whether an adapter's result on a suite that somebody uploaded is hidden."""

    permission_classes: list[type[BasePermission]] = [SignedIn, ScopePermission]

    @extend_schema(operation_id="evaluation_hide", request=None, responses={status.HTTP_204_NO_CONTENT: None})
    def put(self, request: Request, owner: str, name: str, suite_id: uuid.UUID) -> Response:
        """Keep it off the adapter's pages. Built-in suites, probes and its own examples cannot be hidden."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        hiding.hide_result(user=request.user, adapter=adapter, suite_id=suite_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(operation_id="evaluation_show", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, owner: str, name: str, suite_id: uuid.UUID) -> Response:
        """Show it again."""
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        hiding.show_result(user=request.user, adapter=adapter, suite_id=suite_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SuitesView(APIView):
    """Suites of examples."""

    def get_throttles(self) -> list[BaseThrottle]:
        return [EvaluateThrottle()] if self.request.method == "POST" else super().get_throttles()

    @extend_schema(
        operation_id="suite_list",
        parameters=[OpenApiParameter("mine", bool, description="Yours alone."), *PAGE_PARAMETERS],
        responses=page_schema("SuitePage", SuiteSerializer(many=True)),
    )
    def get(self, request: Request) -> Response:
        """Built-in suites, public ones and your own."""
        mine = request.query_params.get("mine", "").lower() in ("1", "true", "yes")
        page = keyset_page(
            selectors.suites_seen(request.user, mine=mine), order=("-created_at", "-id"), **page_arguments(request)
        )
        return Response(page_body(request, page, lambda row: SuiteSerializer(row).data))

    @extend_schema(
        operation_id="suite_create",
        request=SuiteCreateSerializer,
        responses={status.HTTP_201_CREATED: SuiteSerializer},
    )
    def post(self, request: Request) -> Response:
        """Upload one. Its examples never change; upload another suite instead."""
        serializer = SuiteCreateSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        data["base"] = get_base(name=data["base"]) if data["base"] else None
        suite = suite_services.create_suite(user=request.user, **data)
        return Response(SuiteSerializer(suite).data, status=status.HTTP_201_CREATED)


class SuiteView(APIView):
    """One suite."""

    @extend_schema(operation_id="suite_read", responses=SuiteSerializer)
    def get(self, request: Request, suite_id: uuid.UUID) -> Response:
        return Response(SuiteSerializer(selectors.get_suite(user=request.user, suite_id=suite_id)).data)

    @extend_schema(operation_id="suite_edit", request=SuiteEditSerializer, responses=SuiteSerializer)
    def patch(self, request: Request, suite_id: uuid.UUID) -> Response:
        """Another name or visibility."""
        suite = selectors.get_suite(user=request.user, suite_id=suite_id)
        serializer = SuiteEditSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        edited = suite_services.edit_suite(user=request.user, suite=suite, **serializer.validated_data)
        return Response(SuiteSerializer(edited).data)

    @extend_schema(operation_id="suite_delete", responses={status.HTTP_204_NO_CONTENT: None})
    def delete(self, request: Request, suite_id: uuid.UUID) -> Response:
        """With everything that was measured on it."""
        suite_services.delete_suite(user=request.user, suite=selectors.get_suite(user=request.user, suite_id=suite_id))
        return Response(status=status.HTTP_204_NO_CONTENT)
