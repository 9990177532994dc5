"""REST of moderation: reporting an adapter."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.serializers import ErrorSerializer
from marketplace.accounts.throttling import ReportThrottle
from marketplace.adapters.selectors import get_adapter
from marketplace.moderation import services
from marketplace.moderation.serializers import ReportRequestSerializer, ReportSerializer


class ReportView(APIView):
    """Reports on one adapter."""

    #: Who finds something illegal need not have an account to say so.
    anonymous_writes = True
    throttle_classes = [ReportThrottle]

    @extend_schema(
        operation_id="adapters_report",
        tags=["adapters"],
        request=ReportRequestSerializer,
        responses={201: ReportSerializer, 400: ErrorSerializer, 404: ErrorSerializer, 429: ErrorSerializer},
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        """Tell the moderators that an adapter breaks a rule. Works without an account, under a stricter limit."""
        body = ReportRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        adapter = get_adapter(user=request.user, owner=owner, name=name)
        user = request.user if request.user.is_authenticated else None
        report = services.report_adapter(user=user, adapter=adapter, **body.validated_data)
        return Response(ReportSerializer(report).data, status=status.HTTP_201_CREATED)
